"""How time and memory grow with N, K, M and T, and one epoch of a large federation.

python -m benchmarks.scale, in about five minutes.
"""

import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from math import log
from multiprocessing import get_context
from time import process_time
from typing import Any

import numpy as np

from benchmarks import report
from pslref import sampling, split, theory
from pslref.check import FloatArray, IntArray
from pslref.sampling import Steps

LARGE = {"N": 10**7, "K": 20_000, "M": 100, "T": 78_125}
BASE = {"N": 2 * 10**5, "K": 500, "M": 10, "T": 1_563}
FACTOR = 4  # by which one of them is larger

Walk = Callable[[IntArray, int, np.random.Generator, FloatArray], Steps]
WALKS: dict[str, Walk] = {
    "ugs": lambda n, b, rng, d: sampling.ugs_steps(n.sum(axis=1), b, rng),
    "lds": lambda n, b, rng, d: sampling.lds_steps(n, b, rng, delays=d, delta=1.0),
    "targets": lambda n, b, rng, d: sampling.targets_steps(n, b, rng, delays=d),
    "stratified": lambda n, b, rng, d: sampling.targets_steps(
        n, b, rng, delays=d, draw="stratified"
    ),
    "planned, slack 0.2": lambda n, b, rng, d: sampling.targets_steps(
        n, b, rng, delays=d, draw="stratified", assign="planned", slack=0.2
    ),
}
LAW = "expected deviation of ugs"


def clocked(walk: Iterator[Any], spent: list[float]) -> Iterator[Any]:
    """The same steps; `spent` gets the CPU seconds that each takes to find."""
    step: Any = ()
    while step is not None:
        start = process_time()
        step = next(walk, None)
        spent.append(process_time() - start)
        if step is not None:
            yield step


def measure(what: str, n: int, k: int, m: int, t: int) -> tuple[float, float, float]:
    """CPU seconds of an epoch's steps, and of what is made of them; peak memory in MB."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n, np.full(k * m, 1 / (k * m))).reshape(k, m)
    delays, spent = split.straggler_delays(k, rng), [0.0]
    start = process_time()
    steps = WALKS["ugs" if what == LAW else what](counts, -(-n // t), rng, delays)
    spent[0] = process_time() - start
    steps = Steps(clocked(steps.walk, spent), steps.num_steps, steps.num_clients)
    if what == LAW:
        theory.expected_deviation(steps, counts)
    else:
        split.epoch_time(steps, delays, sample_costs=0.01)
    total = process_time() - start
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    return sum(spent), total - sum(spent), megabytes


def alone(what: str, shape: dict[str, int]) -> tuple[float, float, float]:
    """`measure` in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(measure, what, *shape.values()).result()


def growth(what: str) -> list[str]:
    """A row of the table: seconds at the base, and the exponents of N, K, M and T."""
    seconds = sum(alone(what, BASE)[:2])
    row = [what, f"{seconds:.2f}"]
    for name in BASE:
        larger = sum(alone(what, BASE | {name: FACTOR * BASE[name]})[:2])
        row.append(f"{log(larger / seconds) / log(FACTOR):.1f}")
    return row


def main() -> None:
    """Measure, and write the section."""
    machine = report.machine()
    shape = ", ".join(f"{name} = {value:,}" for name, value in LARGE.items())
    rows = [[shape, "its steps, s", "and their time, s", "peak memory, MB"]]
    for what in ("ugs", "lds", "targets", "stratified"):
        walked, timed, megabytes = alone(what, LARGE)
        rows.append([what, f"{walked:.1f}", f"{timed:.1f}", f"{megabytes:.0f}"])
    head = ["", "seconds", *(f"exponent of {name}" for name in BASE)]
    exponents = [growth(what) for what in (*WALKS, LAW)]
    tables = report.table(rows), report.table([head, *exponents])
    report.write("scale", "\n\n".join([machine, *tables]))


if __name__ == "__main__":
    main()
