"""How far are class targets from the best there is for their slack? python -m tools.slack_gap CSV

Ten classes of 6,000, the severe and the mild split, 16 and 64 clients, B = 128, three scenarios of
slow clients, three seeds. A row for each slack: the share of UGS's time that a stratified
schedule saves, the share that no schedule with Δ ≤ slack in every step can exceed, were samples
and steps divisible, and the share that no schedule at all can. The table shows the largest gaps.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np

from pslref import files
from pslref.app.config import Config
from pslref.app.scenario import partition_of
from pslref.sampling import targets
from pslref.split import epoch_time, epoch_time_bound, straggler_delays
from tests.sampling.exact import least_fluid_time

BATCH_SIZE = 128
SCENARIOS = {  # fraction, slowdown, jitter
    "one in eight is ten times slower": (0.125, 10.0, 0.2),
    "three in ten are five times slower": (0.3, 5.0, 0.2),
    "delays between 1 and 2": (0.0, 1.0, 1.0),
}
SLACKS = (0, 0.1, 0.2, 0.4, 0.8, 2)


def main(path: Path) -> None:
    labels = np.repeat(np.arange(10), 6_000)
    rows = []
    for name, split, num_clients, seed in product(
        SCENARIOS, ("severe", "mild"), (16, 64), range(3)
    ):
        rng = np.random.default_rng([num_clients, seed])
        config = Config(partition=split, clients=num_clients)
        counts = partition_of(config, labels, rng).class_counts
        delays = straggler_delays(num_clients, rng, *SCENARIOS[name])
        of_ugs = -(-labels.size // BATCH_SIZE) * delays.max()
        bound = epoch_time_bound(counts.sum(axis=1), delays, BATCH_SIZE)
        for slack in SLACKS:
            plan = targets(counts, BATCH_SIZE, rng, delays=delays, draw="stratified", slack=slack)
            least = least_fluid_time(BATCH_SIZE, counts, delays, slack)
            rows.append(
                {
                    **{"scenario": name, "partition": split, "clients": num_clients},
                    **{"seed": seed, "slack": slack},
                    "saved": 1 - epoch_time(plan, delays) / of_ugs,
                    "most_for_slack": 1 - least / of_ugs,
                    "most": 1 - bound / of_ugs,
                }
            )
    files.write_csv(path, rows)
    print("| |", " | ".join(f"slack {slack:g}" for slack in SLACKS), "|")
    print("|---" * (len(SLACKS) + 1) + "|")
    for name in SCENARIOS:
        gaps = [
            max(
                row["most_for_slack"] - row["saved"]
                for row in rows
                if (row["scenario"], row["slack"]) == (name, slack)
            )
            for slack in SLACKS
        ]
        print(f"| {name} |", " | ".join(f"{100 * gap:.1f} %" for gap in gaps), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
