"""Labels and clients for the tests of partitions."""

import numpy as np
from hypothesis import strategies as st

from pslref.partition import Partition

seeds = st.integers(0, 2**32)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], int, int]:
    """Labels, some classes perhaps without a sample; K; and a C that is allowed."""
    m = draw(st.integers(1, 12))
    labels = [*draw(st.lists(st.integers(0, m - 1), max_size=40)), m - 1]
    c = draw(st.integers(1, m))
    k = draw(st.integers(-(-m // c), 20))
    return draw(st.permutations(labels)), k, c


def assert_is_a_partition(part: Partition, labels: list[int], k: int) -> None:
    held = [row.tolist() for row in part.indices]
    assert sorted(i for row in held for i in row) == list(range(len(labels)))
    assert len(held) == part.num_clients == k
    assert part.sizes.tolist() == [len(row) for row in held]
    m = max(labels) + 1
    assert part.num_classes == m
    counts = [[sum(labels[i] == cls for i in row) for cls in range(m)] for row in held]
    assert part.class_counts.tolist() == counts
    assert part.sizes.dtype == part.class_counts.dtype == np.int64
    assert all(row.dtype == np.int64 for row in part.indices)


def owners_of(part: Partition) -> tuple[int, ...]:
    return tuple(
        next(k for k, row in enumerate(part.indices) if i in row) for i in range(part.sizes.sum())
    )
