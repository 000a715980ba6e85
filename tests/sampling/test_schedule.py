import numpy as np
import pytest

from pslref.sampling import Schedule, fls, fpls, ugs
from pslref.sampling.schedule import tallied


def test_a_schedule_is_a_read_only_copy() -> None:
    rows = np.array([[2, 0, 1], [0, 0, 3]])
    schedule = Schedule(rows)
    rows[:] = 9
    assert schedule.batch_sizes.dtype == np.int64
    assert schedule.batch_sizes.tolist() == [[2, 0, 1], [0, 0, 3]]
    assert schedule.sizes.tolist() == [2, 0, 4]
    assert (schedule.num_steps, schedule.num_clients) == (2, 3)
    with pytest.raises(ValueError, match="read-only"):
        schedule.batch_sizes[0, 0] = 1


def test_steps_name_participants_only() -> None:
    steps = list(Schedule(np.array([[2, 0, 1], [0, 0, 3]])).steps())
    assert [(c.tolist(), n.tolist()) for c, n in steps] == [([0, 2], [2, 1]), ([2], [3])]


def test_steps_must_be_as_many_as_announced() -> None:
    step = (np.array([0]), np.array([2]))
    for num_steps in (1, 3):
        with pytest.raises(ValueError, match=r"zip\(\) argument 2 is (longer|shorter)"):
            Schedule.from_steps(iter([step] * 2), num_steps, 1)


def test_prescribed_class_counts_are_a_read_only_copy_that_sums_to_the_batch_sizes() -> None:
    local = np.array([[[1, 1], [0, 0], [1, 0]], [[0, 0], [0, 0], [0, 3]]], np.int32)
    schedule = Schedule(local.sum(axis=2), local)
    local[:] = 9
    held = schedule.local_class_counts
    assert held is not None
    assert held.dtype == np.int64
    assert held.sum(axis=2).tolist() == schedule.batch_sizes.tolist() == [[2, 0, 1], [0, 0, 3]]
    with pytest.raises(ValueError, match="read-only"):
        held[0, 0, 0] = 1


def test_what_is_asked_for_has_one_shape() -> None:
    """One group that is every class; or a group for each."""
    schedule = fls([3, 4], 2)
    assert schedule.local_class_counts is None
    assert schedule.demands().tolist() == [[[1], [1]]] * 3 + [[[0], [1]]]
    local = [[[1, 1], [0, 2]]]
    assert Schedule([[2, 2]], local).demands().tolist() == local


@pytest.mark.parametrize("sampler", [fls, fpls, lambda n, b: ugs(n, b, np.random.default_rng(0))])
def test_a_schedule_too_large_for_memory_is_refused_before_it_is_built(sampler) -> None:
    with pytest.raises(ValueError, match=r"steps \* clients .* from 0 to 268435456$"):
        sampler(np.full(10_000, 100_000), 1)


def test_a_line_is_counted_run_by_run() -> None:
    counts = tallied(np.array([2, 0, 2, 1, 1, 1]), np.array([3, 2, 1]), 4)
    assert counts.tolist() == [[1, 0, 2, 0], [0, 2, 0, 0], [0, 1, 0, 0]]
