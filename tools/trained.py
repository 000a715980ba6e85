"""Rules that plan an epoch, trained. python -m tools.trained DATASET SEEDS EPOCHS CSV DATA_DIR

64 clients of the severe split, B = 128, one client in eight ten times slower, a sample takes a
tenth of its client's delay; an MLP 256-128 wide or, on images with colors, a CNN of 8 and 16
channels, both float32 and cut at 3, at a learning rate of 0.05. Beside the rules of `tools.rules`:
planned with its last step first (backwards), or drawn hypergeometric. A row for each seed, rule and
quarter of an epoch: the simulated time so far, in % of the first epoch of UGS with this seed, and
the accuracy on all test images. What the CSV has of a seed and rule is not trained again.

In the end it prints for every rule, means over the seeds: the last accuracy in %, ± its standard
deviation; the difference to UGS with the same seed, and its 95 % interval (method.md 8); and when
each target was first reached, in % of an epoch of UGS.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from pslref import data, files, nn, split
from pslref.app.tables import interval
from pslref.check import FloatArray
from pslref.partition import extended_dirichlet
from pslref.sampling import Schedule
from pslref.split.epoch import Epoch
from tools.rules import planned

CLIENTS, PARTS = 64, 4
TARGETS = {"cifar10": (40.0, 45.0), "fashion-mnist": (80.0, 83.0)}  # % to reach
RULES = (
    *("ugs", "fpls", "lds", "quotas", "fast", "flow"),
    *("planned", "backwards", "hypergeometric", "planned-0.2"),
)
PLANNED_TOO = {"backwards": "stratified", "hypergeometric": "hypergeometric"}  # how they are drawn
MEASURED = ("epochs", "time_percent", "accuracy_percent")


def trained(rule: str, seed: int, epochs: int, images: data.Dataset) -> Iterator[tuple[float, ...]]:
    """What is `MEASURED`, for one seed and rule."""
    is_backwards, draw = rule == "backwards", PLANNED_TOO.get(rule, "stratified")
    rule = "planned" if rule in PLANNED_TOO else rule
    rng = np.random.default_rng([seed, 0])
    part = extended_dirichlet(images.y_train, CLIENTS, 2, 3.0, rng)
    delays = split.straggler_delays(CLIENTS, rng)
    case = part.class_counts, delays, 0.1 * delays, draw
    first = planned("ugs", case, np.random.default_rng([seed, 1]))
    of_ugs = split.epoch_time(first, delays, 0.1 * delays)
    rng, of_weights = (np.random.default_rng([seed, stream]) for stream in (1, 2))
    shape = images.x_train.shape[1:]
    if shape[-1] == 3:
        net = nn.cnn(shape, 10, of_weights, (8, 16), np.float32)
    else:
        net = nn.mlp([int(np.prod(shape)), 256, 128, 10], of_weights, np.float32)
    run = split.Simulation(
        net, 3, images.x_train, images.y_train, part, 0.05, rng=rng, execution="pooled"
    )
    passed = 0.0
    for epoch in range(epochs):
        plan = planned(rule, case, rng)
        if is_backwards:
            local = plan.demands()[::-1]
            plan = Schedule(local.sum(axis=2), local)
        times = split.step_times(plan, delays, 0.1 * delays)
        steps = Epoch(run).walk(partial(lambda plan, unused: plan, plan))
        for taken, _ in enumerate(steps, 1):
            passed += times[taken - 1]
            if taken * PARTS // plan.num_steps > (taken - 1) * PARTS // plan.num_steps:
                accuracy = 100 * run.evaluate(images.x_test, images.y_test)
                yield epoch + taken / plan.num_steps, 100 * passed / of_ugs, accuracy


def summary(
    curves: dict[str, list[FloatArray]], levels: Sequence[float], num_images: int
) -> Iterator[str]:
    """A line for each rule, from what was measured with each of its seeds."""
    yield " | ".join(["rule | accuracy % | to UGS", *(f"to {level:g} %" for level in levels)])
    last = {rule: np.array([run[-1, 2] for run in runs]) for rule, runs in curves.items()}
    for rule, runs in curves.items():
        differences = last[rule] - last["ugs"]
        low, high = interval(differences / 100, num_images)
        cells = [
            f"{rule} | {last[rule].mean():.1f} ± {last[rule].std(ddof=1):.1f}",
            f"{differences.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})",
        ]
        for level in levels:
            times = [run[run[:, 2] >= level, 1] for run in runs]
            reached = all(time.size for time in times)
            cells.append(f"{np.mean([time[0] for time in times]):.0f}" if reached else "not by all")
        yield " | ".join(cells)


def main(dataset: str, seeds: int, epochs: int, path: Path, data_dir: Path) -> None:
    images = data.load(dataset, data_dir, np.float32)
    rows: list[dict[str, str]] = []
    if path.exists():
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    curves: dict[str, list[FloatArray]] = {rule: [] for rule in RULES}
    for seed, rule in product(range(seeds), RULES):
        which = {"seed": str(seed), "rule": rule}
        if not any(which.items() <= row.items() for row in rows):
            for numbers in trained(rule, seed, epochs, images):
                shown = (f"{number:.4f}" for number in numbers)
                rows.append(which | dict(zip(MEASURED, shown, strict=True)))
            files.write_csv(path, rows)
            print(*rows[-1].values(), flush=True)
        of = [row for row in rows if which.items() <= row.items()]
        curves[rule].append(np.array([[float(row[name]) for name in MEASURED] for row in of]))
    print(*summary(curves, TARGETS[dataset], images.y_test.size), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
