"""What the oracle catches, and that it accuses nobody who is right.

python -m tools.oracle faults CSV [--independent]: a row for each wrong implementation. Known are
those that the oracle has as patches of its reference; independent are programs of their own
(tests/backends) with one decision made wrongly. It is caught if the verdict is WRONG, and named if
the report says which mistake or other protocol it looks like.

python -m tools.oracle right CSV RUNS BACKEND...: full checks of right implementations, with seeds
0, 1, ...; a row for each, and one for each p-value. A backend is package.module:factory, or a
program with its arguments.
"""

import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kstest

from pslref import files
from pslref.oracle import Backend, CommandBackend, Spec, examine
from pslref.oracle.randomness import QUESTIONS
from tests.backends.plain import Plain
from tests.oracle.faults import ONLY_RANDOM, QUESTIONED, VECTORS

Row = dict[str, Any]
NAMES = ("looks like a known mistake", "is right as")


class Patched:
    """Answers as a known mistake would."""

    spec = Spec("patched")

    def __init__(self, op: str, predict: Any) -> None:
        self.op, self.predict = op, predict

    def capabilities(self) -> list[str]:
        return [self.op]

    def run(self, op: str, inputs: Row) -> Row:
        answer: Row = self.predict(inputs)
        return answer


def independent() -> Iterator[tuple[str, str, str, Backend]]:
    pairs = [(fault, op) for fault, (ops, _) in VECTORS.items() for op in ops.split()]
    pairs += ONLY_RANDOM.items()
    pairs += [(fault, QUESTIONS[question][0]) for fault, question, *_ in QUESTIONED]
    for fault, op in dict.fromkeys(pairs):
        yield "independent", fault, op, Plain(fault, only=[op])


def known() -> Iterator[tuple[str, str, str, Backend]]:
    from pslref.oracle.library import OPS
    from pslref.oracle.mistakes import known

    for op in OPS:
        for mistake in known(op):
            name = mistake.sentence.partition("known mistake: ")[2]
            if mistake.is_protocol:
                name = mistake.sentence.partition("right as ")[2].partition(" (")[0]
            yield "known", name, op, Patched(op, mistake.predict)


def faults(out: Path, all_of_them: bool) -> None:
    rows = []
    for kind, fault, op, backend in [*(known() if all_of_them else ()), *independent()]:
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some faults make weights explode
            report = examine(backend, np.random.default_rng(0), ops=[op])
        said = [*report.diagnoses, *(one.detail for one in report.results)]
        row = {"kind": kind, "fault": fault, "operation": op, "caught": report.exit_code == 1}
        row |= {"named": any(name in line for line in said for name in NAMES)}
        row |= {"seconds": round(time.process_time() - start, 2)}
        rows.append(row)
        print(*row.values(), sep=", ", flush=True)
    files.write_csv(out, rows)
    for kind in ("known", "independent"):
        own = [row for row in rows if row["kind"] == kind]
        counts = (sum(row[field] for row in own) for field in ("caught", "named", "seconds"))
        caught, named, seconds = counts
        print(f"{kind}: {caught} of {len(own)} caught, {named} named, {seconds:.0f} s of CPU")


def right(out: Path, runs: int, backends: list[str]) -> None:
    from pslref.oracle.serve import load

    rows: list[Row] = []
    for name in backends:
        is_program = ":" not in name
        backend: Any = CommandBackend(name) if is_program else load(name)
        for run in range(runs):
            report = examine(backend, np.random.default_rng(run))
            common = {"backend": name, "run": run, "exit_code": report.exit_code}
            print(*common.values(), *report.errors, sep=", ", flush=True)
            rows.append({**common, "test": "all", "p_value": None})
            rows += [
                {**common, "test": one.check, "p_value": one.p_value}
                for one in report.results
                if one.p_value is not None
            ]
            files.write_csv(out, rows)  # each time: it takes long
        if is_program:
            backend.close()
    print("\n".join(summary(rows)))


def summary(rows: list[Row]) -> list[str]:
    """How many full checks accused, and whether any p-values are smaller than uniform ones."""
    codes = [row["exit_code"] for row in rows if row["test"] == "all"]
    told = [f"{sum(map(bool, codes))} of {len(codes)} full checks accused a right implementation"]
    tests: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["test"] != "all":
            tests.setdefault((row["backend"], row["test"]), []).append(float(row["p_value"]))
    # One-sided: a right test may have larger p-values than uniform ones.
    tails = [(kstest(p, "uniform", alternative="greater").pvalue, t) for t, p in tests.items()]
    if tails:
        p, test = min(tails)
        told.append(
            f"p-values of {len(tails)} tests; the least uniform, {' '.join(test)}: Kolmogorov and "
            f"Smirnov's p = {min(1, p * len(tails)):.2g} after correction for their number"
        )
    return told


if __name__ == "__main__":
    command, path, *rest = sys.argv[1:]
    if command == "faults":
        faults(Path(path), "--independent" not in rest)
    else:
        right(Path(path), int(rest[0]), rest[1:])
