"""How far below the least time of any schedule is the bound? python -m tools.least_gap CSV N

Every table of up to three clients with up to two classes and up to N samples, times of clients from
`KINDS`, all batch sizes, and slacks: the bound against a search of all schedules. Each case is
counted once, whatever the order of its clients and classes; with slack 2 classes do not matter, so
there is one. A row for each number of clients, slack and kind of costs: how many cases, how many
bounds are above the least time (there must be none), how many equal it, and how far below it the
others are, as shares of it.
"""

import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, combinations_with_replacement, product
from pathlib import Path

import numpy as np

from pslref import files
from pslref.theory import least_epoch_time
from tests.sampling.exact import least_time_of_any

KINDS = ((0.0, 0.0), (1.0, 0.0), (3.0, 0.0), (1.0, 0.3), (3.0, 1.0), (0.0, 1.0))  # delay, cost
CLASSES = {0: 2, 0.5: 2, 2: 1}  # for each slack


def tables(clients: int, classes: int, most: int) -> list[np.ndarray]:
    """All of up to so many samples, of which every client has one, and every class."""
    every = product(range(most + 1), repeat=clients * classes)
    found = [np.reshape(table, (clients, classes)) for table in every if sum(table) <= most]
    return [table for table in found if table.any(axis=0).all() and table.any(axis=1).all()]


def is_first(table: np.ndarray, kinds: tuple[tuple[float, float], ...]) -> bool:
    """Of the same clients and classes in all their orders."""
    orders = [table.tolist(), table[:, ::-1].tolist()]
    cases = [list(zip(kinds, rows, strict=True)) for rows in orders]
    return cases[0] == min(map(sorted, cases))


def gaps(case: tuple[np.ndarray, float]) -> list[tuple[tuple[int, float, bool], float]]:
    """Of all times and batch sizes of a table at a slack; each with the row that it counts in."""
    counts, slack = case
    clients, found = len(counts), []
    every = combinations_with_replacement(KINDS, clients)
    first = [np.transpose(kinds) for kinds in every if is_first(counts, kinds)]
    delays, costs = np.reshape(first, (-1, 2, clients)).transpose(1, 2, 0)
    for size in range(1, int(counts.sum()) + 1):
        leasts = least_time_of_any(counts, size, delays, costs, slack)
        for least, d, s in zip(leasts, delays.T, costs.T, strict=True):
            if 0 < least < np.inf:
                gap = 1 - least_epoch_time(counts, size, d, s, slack) / float(least)
                found.append(((clients, slack, bool(s.any())), gap))
    return found


def main(out: Path, most: int) -> None:
    cases = [
        (counts, slack)
        for clients, (slack, classes) in product((1, 2, 3), CLASSES.items())
        for counts in tables(clients, classes, most)
    ]
    of_row: dict[tuple[int, float, bool], list[float]] = defaultdict(list)
    with ProcessPoolExecutor() as pool:
        for row_of, below in chain.from_iterable(pool.map(gaps, cases, chunksize=8)):
            of_row[row_of].append(below)
    rows = []
    for (clients, slack, costly), found in sorted(of_row.items()):
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
