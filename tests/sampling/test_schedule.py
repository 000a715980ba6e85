import tracemalloc
from collections import Counter
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.sampling import Schedule, fls, fpls, ugs, ugs_steps
from pslref.sampling import schedule as schedule_module
from pslref.sampling.schedule import tally


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
            Schedule.from_steps([step] * 2, num_steps, 1)


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
    with pytest.raises(ValueError, match=r"steps \* clients .* from 0 to 268435456$"):
        sampler(np.full(10_000, 100_000), 1)


def walked(line: list[int], batches: list[int], at_once: int) -> list[tuple[list[int], list[int]]]:
    with mock.patch.object(schedule_module, "AT_ONCE", at_once):
        steps = tally(np.array(line, np.int32), np.array(batches))
        return [(clients.tolist(), counts.tolist()) for clients, counts in steps]


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=12))
@pytest.mark.parametrize("at_once", [1, 7, 2**16])
def test_a_line_of_clients_is_counted_batch_by_batch(at_once: int, steps: list[list[int]]) -> None:
    line = [client for step in steps for client in step]
    expected = [tuple(zip(*sorted(Counter(step).items()), strict=True)) for step in steps]
    found = walked(line, [len(step) for step in steps], at_once)
    assert found == [(list(clients), list(counts)) for clients, counts in expected]


def test_ugs_of_many_clients_needs_four_bytes_a_sample(rng: np.random.Generator) -> None:
    """The dense array of these steps would have 10^9 cells."""
    sizes = np.full(1_000_000, 2)
    tracemalloc.start()
    brought = sum(int(counts.sum()) for _, counts in ugs_steps(sizes, 2_000, rng))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert brought == 2_000_000
    assert peak < 4 * 2_000_000 + 2 * 8 * sizes.size + 2**22
