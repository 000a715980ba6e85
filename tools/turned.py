"""Slow clients hold images turned by a right angle: a difference that class targets do not see.

    python -m tools.turned results/within-class/turned.csv

The digits at 16 clients with IID labels, of which 2 are slow; B = 64, MLP 64-64-10, learning rate
0.1, ten seeds. A row per assignment, seed and epoch: accuracy on the test images, as they are and
turned.
"""

import sys
from pathlib import Path

import numpy as np

from pslref import data, files, nn, partition, sampling, split


def main(path: Path) -> None:
    digits = data.load("digits")
    turned_test = np.rot90(digits.x_test, axes=(1, 2))
    delays = np.where(np.arange(16) < 2, 10.0, 1.0)
    rows = []
    for seed in range(10):
        part = partition.iid(digits.y_train, 16, np.random.default_rng([seed, 0]))
        x, slow = digits.x_train.copy(), np.concatenate(part.indices[:2])
        x[slow] = np.rot90(x[slow], axes=(1, 2))
        for assign in ("ugs", "random", "slowest-first"):
            rng = np.random.default_rng([seed, 1])
            simulation = split.Simulation(
                nn.mlp([64, 64, 10], rng=rng), 3, x, digits.y_train, part, 0.1,
                rng=rng, execution="pooled",
            )  # fmt: skip
            for epoch in range(1, 21):
                if assign == "ugs":
                    schedule = sampling.ugs(part.sizes, 64, rng)
                else:
                    schedule = sampling.targets(
                        part.class_counts, 64, rng, delays=delays, assign=assign
                    )
                simulation.run_epoch(schedule)
                rows.append(
                    {
                        "assign": assign,
                        "seed": seed,
                        "epoch": epoch,
                        "time": split.epoch_time(schedule, delays),
                        "accuracy": simulation.evaluate(digits.x_test, digits.y_test),
                        "accuracy_turned": simulation.evaluate(turned_test, digits.y_test),
                    }
                )
    files.write_csv(path, rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
