"""Right implementations, checked many times: how often they are accused, and their p-values."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from pslref.files import check_outputs, write_csv
from pslref.oracle.examination import examine
from pslref.oracle.serve import load

Row = dict[str, Any]
LEVELS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5)


def study(
    names: Iterable[str],
    rngs: Sequence[np.random.Generator],
    out: Path,
    note: Callable[[str], None],
) -> list[Row]:
    """Check each backend with each generator: a row for all of it, and one for each p-value.

    Args:
        names: factories of backends, package.module:factory.
        rngs: one for each full check; every backend gets a stream of its own from it.
        out: the CSV file: backend, run, exit_code, check, test, p_value.
        note: called with a sentence after each full check.
    """
    check_outputs(("out", out.parent, [out.name]))
    rows: list[Row] = []
    for name in names:
        backend = load(name)
        for run, rng in enumerate(rngs):
            report = examine(backend, rng.spawn(1)[0])
            note(f"{name}, run {run}: exit code {report.exit_code}")
            whole = {"backend": name, "run": run, "exit_code": report.exit_code}
            rows.append({**whole, "check": "all", "test": None, "p_value": None})
            rows += [
                {**whole, "check": result.op, "test": result.check, "p_value": result.p_value}
                for result in report.results
                if result.p_value is not None
            ]
    write_csv(out, rows)
    return rows


def summary(rows: list[Row]) -> list[str]:
    """How many full checks accused, and where p-values are smaller than uniform ones would be.

    A right test has P(p ≤ x) ≤ x. For each test and level x the count of p ≤ x is compared with
    Binomial(runs, x); the smallest tail of all is multiplied by their number.
    """
    runs = {(row["backend"], row["run"]): row["exit_code"] for row in rows}
    accused = sum(code != 0 for code in runs.values())
    tests: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row["test"] is not None:
            name = (row["backend"], row["check"], row["test"])
            tests.setdefault(name, []).append(row["p_value"])
    tails = [
        (float(binom.sf(sum(p <= x for p in values) - 1, len(values), x)), name, x)
        for name, values in tests.items()
        for x in LEVELS
    ]
    verdict = f"{accused} of {len(runs)} full checks accused a right implementation"
    if not tails:
        return [verdict]
    tail, least, x = min(tails)
    return [
        verdict,
        f"{len(tests)} tests; the least uniform: {' '.join(least)} at p <= {x}: "
        f"{min(1.0, tail * len(tails)):.2g} after correction for {len(tails)} comparisons",
    ]
