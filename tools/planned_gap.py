"""How far is a planned epoch from the least time? python -m tools.planned_gap CSV K[,K...]|seconds

50,000 samples in ten classes, B = 128: the paper's two splits, three kinds of delays, four costs
of a sample and three slacks. A row for each: the times of the schedules and of the bounds, as
shares of the time of UGS. `divided` is the linear program, whose steps and samples can be divided.

`seconds`: how long planning takes, for 128 clients as above, and for 3,550 with 62 classes of
12,800 samples, in Dirichlet-distributed parts. Delays have a heavy tail, and slack is 0.2.
"""

import sys
from pathlib import Path
from time import process_time

import numpy as np

from pslref import files, partition, sampling
from pslref.sampling.program import fluid
from pslref.split import epoch_time, straggler_delays
from pslref.theory import least_epoch_time

SIZE = 128


def delays_of(kind: str, num_clients: int, rng: np.random.Generator) -> np.ndarray:
    """One in eight is ten times slower; evenly between 1 and 2; log-normal, with a heavy tail."""
    if kind == "few":
        return straggler_delays(num_clients, rng)
    return 1 + rng.random(num_clients) if kind == "even" else rng.lognormal(0, 1, num_clients)


def main(out: Path, clients: list[int]) -> None:
    rows = []
    grid = [(k, c, kind) for k in clients for c in (2, 5) for kind in ("few", "even", "tail")]
    for num_clients, classes, kind in grid:
        rng = np.random.default_rng([num_clients, classes])
        labels = np.repeat(np.arange(10), 5_000)
        part = partition.extended_dirichlet(labels, num_clients, classes, 3.0, rng)
        counts, delays = part.class_counts, delays_of(kind, num_clients, rng)
        for cost in (0, 0.01, 0.1, 1):
            costs = cost * delays
            of_ugs = epoch_time(sampling.ugs(part.sizes, SIZE, rng), delays, costs)
            for slack in (0, 0.2, 0.4):
                best = fluid(counts, SIZE, delays, costs, slack)
                times = {"divided": float(best.supply.sum(axis=1) @ best.deadlines) / SIZE}
                times["bound"] = least_epoch_time(counts, SIZE, delays, costs, slack)
                planned = {"assign": "planned", "sample_costs": costs, "slack": slack}
                for name, options in {
                    "planned": planned | {"draw": "stratified"},
                    "hypergeometric": planned,
                    "slowest-first": {"draw": "stratified"},
                }.items():
                    plan = sampling.targets(counts, SIZE, rng, delays=delays, **options)
                    times[name] = epoch_time(plan, delays, costs)
                what = {"clients": num_clients, "classes": classes, "delays": kind}
                shares = {name: round(time / of_ugs, 4) for name, time in times.items()}
                rows.append(what | {"cost": cost, "slack": slack} | shares)
                print(*rows[-1].values(), flush=True)
                files.write_csv(out, rows)


def seconds(out: Path) -> None:
    rows = []
    for num_clients, classes, size in ((128, 10, 5_000), (3_550, 62, 12_800)):
        rng = np.random.default_rng(num_clients)
        labels = np.repeat(np.arange(classes), size)
        if num_clients == 128:
            part = partition.extended_dirichlet(labels, num_clients, 2, 3.0, rng)
        else:
            part = partition.dirichlet(labels, num_clients, 0.3, rng)
        counts, delays = part.class_counts, delays_of("tail", num_clients, rng)
        for cost, draw in (
            (c, d) for c in (0, 0.01, 0.1, 1) for d in ("stratified", "hypergeometric")
        ):
            costs = cost * delays
            of_ugs = epoch_time(sampling.ugs(part.sizes, SIZE, rng), delays, costs)
            bound = least_epoch_time(counts, SIZE, delays, costs, 0.2)
            start, time = process_time(), 0.0
            for who, brought in sampling.targets_steps(
                *(counts, SIZE, rng), delays=delays, sample_costs=costs, draw=draw,
                assign="planned", slack=0.2,
            ):  # fmt: skip
                time += (delays[who] + costs[who] * brought.sum(axis=1)).max()
            took = process_time() - start
            what = {"clients": num_clients, "classes": classes, "cost": cost, "draw": draw}
            shares = {"bound": round(bound / of_ugs, 4), "planned": round(time / of_ugs, 4)}
            rows.append({**what, "seconds": round(took, 2), **shares})
            print(*rows[-1].values(), flush=True)
            files.write_csv(out, rows)


if __name__ == "__main__":
    if sys.argv[2] == "seconds":
        seconds(Path(sys.argv[1]))
    else:
        main(Path(sys.argv[1]), [int(k) for k in sys.argv[2].split(",")])
