"""Time and memory of the samplers' steps against N, K and B: python -m benchmarks.samplers."""

import resource
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from pslref import sampling
from pslref.sampling import Steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE = {"N": 10**7, "K": 10**3, "B": 10**3}
VARIED = {
    "N": [10**4, 10**5, 10**6, 10**7, 10**8],
    "K": [10**1, 10**2, 10**3, 10**4, 10**5],
    "B": [10**2, 10**3, 10**4, 10**5, 10**6],
}
NAMES = {"N": "samples N", "K": "clients K", "B": "batch size B"}
CLASSES = 10
SAMPLERS = ("fls", "fpls", "ugs", "lds")

Point = dict[str, Any]


def steps(sampler: str, n: int, k: int, b: int, rng: np.random.Generator) -> Steps:
    """A walk over an epoch of a random federation: multinomial sizes, ten classes, delays."""
    counts = rng.multinomial(n, np.full(k * CLASSES, 1 / (k * CLASSES))).reshape(k, CLASSES)
    if sampler == "lds":
        return sampling.lds_steps(
            counts, b, rng, delays=1 + rng.random(k), delta=1.0, reestimate=False
        )
    if sampler == "ugs":
        return sampling.ugs_steps(counts.sum(axis=1), b, rng)
    walk = sampling.fls_steps if sampler == "fls" else sampling.fpls_steps
    return walk(counts.sum(axis=1), b)


def measure(sampler: str, n: int, k: int, b: int) -> Point:
    """Seconds and peak memory of one walk, in a process of its own."""
    walk = steps(sampler, n, k, b, np.random.default_rng(0))
    start = process_time()
    drawn = sum(int(counts.sum()) for _, counts in walk)
    seconds = process_time() - start
    assert drawn == n
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    return {"sampler": sampler, "N": n, "K": k, "B": b, "seconds": seconds, "megabytes": megabytes}


def permutation(n: int, k: int) -> float:
    """Seconds of one permutation of n client numbers: what UGS is held against."""
    clients = np.repeat(np.arange(k, dtype=np.int32), n // k)
    start = process_time()
    np.random.default_rng(0).permutation(clients)
    return process_time() - start


def points() -> Iterator[tuple[str, Point]]:
    """What is varied, and a measurement; each in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh:
        for varied, values in VARIED.items():
            for value in values:
                for sampler in SAMPLERS:
                    n, k, b = (BASE | {varied: value}).values()
                    yield varied, fresh.submit(measure, sampler, n, k, b).result()


def draw(measured: list[tuple[str, Point]]) -> "Figure":
    """Seconds and megabytes against each of N, K and B."""
    from matplotlib.figure import Figure  # here, since each measurement imports this file

    from pslref.app.pictures import look, own_settings

    with own_settings():
        figure = Figure(figsize=(10, 5), layout="constrained")
        panels = figure.subplots(2, 3, sharex="col", sharey="row")
        for column, varied in zip(panels.T, VARIED, strict=True):
            for panel, unit in zip(column, ("seconds", "megabytes"), strict=True):
                for sampler in SAMPLERS:
                    line = [p for v, p in measured if v == varied and p["sampler"] == sampler]
                    at, height = ([p[key] for p in line] for key in (varied, unit))
                    panel.loglog(at, height, label=sampler, **look(sampler, len(line)))
            fixed = [f"{name} = {value:,}" for name, value in BASE.items() if name != varied]
            column[0].set_title(", ".join(fixed), fontsize="medium")
            column[1].set_xlabel(NAMES[varied])
        panels[0, 0].set_ylabel("CPU seconds an epoch")
        panels[1, 0].set_ylabel("peak memory in MB")
        panels[1, 0].set_yticks([50, 100, 200, 400], ["50", "100", "200", "400"])
        panels[1, 0].set_yticks([], minor=True)
        names = panels[0, 0].get_legend_handles_labels()
        figure.legend(*names, loc="outside right upper", frameon=False)
    return figure


def main() -> None:
    """Measure, draw, and write the section."""
    from pslref.app.pictures import save

    machine = report.machine()
    measured = list(points())
    n, k = 10**8, 10**6
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh:
        largest = [fresh.submit(measure, "ugs", n, k, b).result() for b in (128, 10_000)]
        unit = fresh.submit(permutation, n, k).result()
    save(draw(measured), report.DOCS / "benchmarks-samplers.png")
    head = ["UGS, N = 1e8, K = 1e6", "seconds", "of one permutation", "peak memory in MB"]
    rows = [
        [f"B = {p['B']}", f"{p['seconds']:.1f}", f"{p['seconds'] / unit:.2f}",
         f"{p['megabytes']:.0f}"]
        for p in largest
    ]  # fmt: skip
    report.write("samplers", f"{machine}\n\n{report.table([head, *rows])}")


if __name__ == "__main__":
    main()
