"""Rules that plan an epoch, head to head: times and bytes. python -m tools.head_to_head CSV

64 clients, B = 128, one client in eight ten times slower, three seeds: ten classes of 5,000 on the
severe split, where a sample costs nothing, a tenth or all of its client's delay; and the 200
classes of 500 of Tiny ImageNet on the mild split. A row for each setting and rule: means over the
seeds, epoch time in % of that of UGS. Nothing is trained here: `tools.trained` does that.
"""

import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from pslref import files, nn, split
from pslref.app.deviation import simulate
from pslref.check import IntArray
from pslref.partition import extended_dirichlet
from pslref.sampling import Steps
from pslref.sampling.walks import demanded
from tools.rules import RULES, planned

CLIENTS, SEEDS = 64, 3
MEASURED = (
    *("time_percent", "max_deviation", "mean_deviation", "participants", "megabytes"),
    "construction_seconds",
)


def rows_of(what: dict[str, Any], labels: IntArray) -> Any:
    """A row for each rule of one setting, means over the seeds."""
    found = np.zeros((SEEDS, len(RULES), len(MEASURED)))
    for seed, rows in enumerate(found):
        rng = np.random.default_rng([seed, 0])
        part = extended_dirichlet(labels, CLIENTS, what["classes_held"], 3.0, rng)
        delays = split.straggler_delays(CLIENTS, rng)
        counts, costs = part.class_counts, what["cost"] * delays
        net = nn.mlp([784, 256, 128, 10], np.random.default_rng([seed, 2]), np.float32)
        for row, rule in zip(rows, RULES, strict=True):
            rng, began = np.random.default_rng([seed, 1]), process_time()
            plan = planned(rule, (counts, delays, costs, what["draw"]), rng)
            seconds = process_time() - began
            time = split.epoch_time(plan, delays, costs)
            deviation = simulate(Steps(demanded(plan), plan.num_steps, CLIENTS), counts, rng, 1)
            participants = np.count_nonzero(plan.batch_sizes) / plan.num_steps
            megabytes = split.traffic(plan, net, 3, (28, 28, 1)).total / 1e6
            row[:] = time, deviation.max(), deviation.mean(), participants, megabytes, seconds
        rows[:, 0] *= 100 / rows[RULES.index("ugs"), 0]
    for name, numbers in zip(RULES, found.mean(axis=0).round(4).tolist(), strict=True):
        yield what | {"rule": name} | dict(zip(MEASURED, numbers, strict=True))


def main(path: Path) -> None:
    ten, many = np.repeat(np.arange(10), 5_000), np.repeat(np.arange(200), 500)
    tenth = {"classes_held": 2, "cost": 0.1, "draw": "stratified"}
    as_many = {"classes_held": 5, "draw": "hypergeometric"}
    settings: list[tuple[dict[str, Any], IntArray]] = [
        *(({"setting": "severe"} | tenth | {"cost": cost}, ten) for cost in (0, 0.1, 1)),
        ({"setting": "tiny-imagenet"} | tenth | as_many, many),
    ]
    rows: list[dict[str, Any]] = []
    for setting in settings:
        for row in rows_of(*setting):
            rows.append(row)
            print(*row.values(), flush=True)
        files.write_csv(path, rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
