import numpy as np
import pytest

from pslref.sampling import Schedule, fls, fpls, ugs


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


@pytest.mark.parametrize(
    "rows", [[1, 2], [[1.0, 2.0]], [[-1, 2]], [[1, 2], [3]], "ab", [[True, False]], [[2**63]]]
)
def test_other_arrays_are_refused(rows: object) -> None:
    with pytest.raises(ValueError, match=r"batch_sizes = .*must be 2-dimensional"):
        Schedule(rows)  # type: ignore[arg-type]


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


@pytest.mark.parametrize(
    ("local", "sentence"),
    [
        ([[[1, 1], [1, 1]]], "must sum to batch_sizes over the classes$"),
        ([[[1, 1]]], "must sum to batch_sizes over the classes$"),
        ([[[3, -1], [1, 0]]], "must be 3-dimensional, of whole numbers, each 0 or more"),
        ([[2, 1]], "must be 3-dimensional"),
    ],
)
def test_class_counts_that_are_not_those_of_the_batches_are_refused(local, sentence) -> None:
    with pytest.raises(ValueError, match=f"local_class_counts = .*: {sentence}"):
        Schedule(np.array([[2, 1]]), np.array(local))


def test_samplers_that_draw_clients_prescribe_no_classes() -> None:
    assert fls([3, 4], 2).local_class_counts is None


@pytest.mark.parametrize("sampler", [fls, fpls, lambda n, b: ugs(n, b, np.random.default_rng(0))])
def test_a_schedule_too_large_for_memory_is_refused_before_it_is_built(sampler) -> None:
    with pytest.raises(ValueError, match="must have at most 268435456 cells"):
        sampler(np.full(10_000, 100_000), 1)
