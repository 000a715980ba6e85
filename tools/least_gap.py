"""How far below the least time of any schedule is the bound? python -m tools.least_gap CSV N

Every table of up to three clients with up to two classes and up to N samples, times of clients from
`KINDS`, slacks and batch sizes: the bound against a search of all schedules. A row for each number
of clients, slack and kind of costs: how many cases, how many bounds are above the least time (there
must be none), how many equal it, and how far below it the others are, as shares of it.
"""

import sys
from collections import defaultdict
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np

from pslref import files
from pslref.theory import least_epoch_time
from tests.sampling.exact import least_time_of_any

KINDS = ((0.0, 0.0), (1.0, 0.0), (3.0, 0.0), (1.0, 0.3), (3.0, 1.0), (0.0, 1.0))  # delay, cost
SLACKS = (0, 0.5, 2)
SIZES = (2, 3, 5)


def tables(clients: int, classes: int, most: int) -> list[np.ndarray]:
    """All of up to so many samples, of which every client has one, and every class."""
    every = product(range(most + 1), repeat=clients * classes)
    found = [np.reshape(table, (clients, classes)) for table in every if sum(table) <= most]
    return [table for table in found if table.any(axis=0).all() and table.any(axis=1).all()]


def main(out: Path, most: int) -> None:
    gaps: dict[tuple[int, float, bool], list[float]] = defaultdict(list)
    for clients, classes in product((1, 2, 3), (1, 2)):
        kinds = list(combinations_with_replacement(KINDS, clients))
        for counts, kind, size in product(tables(clients, classes, most), kinds, SIZES):
            delays, costs = np.transpose(kind)
            for slack in SLACKS if classes > 1 else (2,):
                least = least_time_of_any(counts, size, delays, costs, slack)
                if 0 < least < np.inf:
                    bound = least_epoch_time(counts, size, delays, costs, slack)
                    gaps[clients, slack, bool(costs.any())].append(1 - bound / least)
    rows = []
    for (clients, slack, costly), found in sorted(gaps.items()):
        gap = np.array(found)
        numbers = {
            "cases": gap.size,
            "above": int(np.sum(gap < 0)),
            "equal": int(np.sum(gap < 1e-9)),
        }
        shares = {"mean_gap": gap.mean(), "gap_95": np.quantile(gap, 0.95), "max_gap": gap.max()}
        row = {"clients": clients, "slack": slack, "with_costs": costly} | numbers
        rows.append(row | {name: round(float(share), 4) for name, share in shares.items()})
        print(*rows[-1].values())
    files.write_csv(out, rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
