from collections import Counter
from collections.abc import Hashable
from itertools import product

import numpy as np
import pytest
from hypothesis import given

from pslref.partition import Partition, iid
from tests.law import departures, smallest_shift
from tests.partition.drawn import assert_is_a_partition, cases, owners_of, seeds


@given(cases(), seeds)
def test_iid_is_an_even_partition(case: tuple[list[int], int, int], seed: int) -> None:
    labels, k, _ = case
    part = iid(labels, k, np.random.default_rng(seed))
    assert_is_a_partition(part, labels, k)
    assert part.sizes.max() - part.sizes.min() <= 1


def test_a_partition_keeps_its_own_arrays() -> None:
    rows, labels = [np.array([2, 0], np.uint8), np.array([1])], np.array([0, 1, 1])
    part = Partition(rows, labels)
    rows[0][0], labels[0] = 1, 3
    rows.append(np.array([5]))
    assert [row.tolist() for row in part.indices] == [[2, 0], [1]]
    assert part.class_counts.tolist() == [[1, 1], [0, 1]]
    for array in (*part.indices, part.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_classes_without_samples_are_counted_if_they_are_named() -> None:
    assert Partition([[0], []], [1], num_classes=4).class_counts.tolist() == [[0, 1, 0, 0], [0] * 4]


def test_every_even_split_is_equally_likely_under_iid(
    rng: np.random.Generator, alpha: float
) -> None:
    """Ten ways to give five samples to two clients, the first gets three. False alarm: 1e-8.

    5,000 partitions show an outcome of probability 0.1 that is off by 0.04.
    """
    ways = {owners: 0.1 for owners in product(range(2), repeat=5) if sum(owners) == 2}
    law: dict[Hashable, float] = {**ways}
    assert smallest_shift(0.1, 5_000, len(law), alpha) < 0.04
    assert not departures(
        Counter(owners_of(iid([0] * 5, 2, rng)) for _ in range(5_000)), law, alpha
    )
