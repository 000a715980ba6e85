import numpy as np
import pytest

from pslref.app.config import Config
from pslref.app.scenario import partition_of


@pytest.mark.parametrize("name", ["iid", "mild", "severe"])
def test_the_same_generator_state_makes_the_same_partition(name: str) -> None:
    labels = np.arange(200) % 10
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]  # noqa: NPY002
    one, two, other = (
        partition_of(Config(partition=name, clients=8), labels, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert [row.tolist() for row in one.indices] == [row.tolist() for row in two.indices]
    assert [row.tolist() for row in one.indices] != [row.tolist() for row in other.indices]
    assert labels.tolist() == [i % 10 for i in range(200)]
    assert (np.random.get_state()[1] == before).all()  # type: ignore[union-attr]  # noqa: NPY002


def test_mild_and_severe_hold_five_and_two_classes(rng: np.random.Generator) -> None:
    labels = np.repeat(np.arange(10), 5000)
    for name, classes in [("mild", 5), ("severe", 2)]:
        part = partition_of(Config(partition=name, clients=16), labels, rng)
        held = (part.class_counts > 0).sum(axis=1)
        assert held.max() == classes
    iid = partition_of(Config(partition="iid", clients=16), labels, rng)
    assert (iid.class_counts > 0).all()
