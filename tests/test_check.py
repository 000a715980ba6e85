import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from pslref import check, partition, sampling, split, theory
from pslref.app.config import Config


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3)])
def test_whole_numbers_of_any_type_pass(value: object) -> None:
    assert check.integer("k", value, 1, 3) == 3


@pytest.mark.parametrize("value", [0, 4, 2.0, True, "2", None, np.nan, [2], 10**30])
def test_other_values_are_refused_with_name_value_and_range(value: object) -> None:
    with pytest.raises(ValueError, match=r"^k = .*: must be a whole number from 1 to 3$"):
        check.integer("k", value, 1, 3)


@pytest.mark.parametrize("value", [0.5, 1, np.float32(0.5)])
def test_real_numbers_pass(value: object) -> None:
    assert 0.4 < check.real("x", value, 0, 1) <= 1


@pytest.mark.parametrize("value", [-0.1, 1.1, np.inf, np.nan, True, "0.5", None, [0.5], 10**400])
def test_other_numbers_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^x = .*: must be a finite number, 0 or more, at most 1"):
        check.real("x", value, 0, 1)


def test_an_open_bound_excludes_itself() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        check.real("x", 0.0, 0, low_open=True)


def test_an_array_is_shown_in_one_line_and_a_name_with_all_its_spaces() -> None:
    error = check.wrong("x", (np.array([[1], [2]]), "two  spaces "), "must be another")
    assert str(error) == ("x = (array([[1], [2]]), 'two  spaces '): must be another")
    assert check.one_line(" a  b \r\n\n \tc\u2028d\n") == "a  b c d"


def test_the_nearest_name_is_suggested() -> None:
    assert check.one_of("name", "ugs", ["ugs", "fls"]) == "ugs"
    with pytest.raises(
        ValueError, match=r"'ugz': must be one of ugs, fls \(did you mean 'ugs'\?\)"
    ):
        check.one_of("name", "ugz", ["ugs", "fls"])
    with pytest.raises(ValueError, match=r"must be one of ugs, fls$"):
        check.one_of("name", 7, ["ugs", "fls"])


def test_integer_arrays_are_fresh_int64() -> None:
    given = np.array([1, 2], np.uint8)
    found = check.integers("n", given, ndim=1)
    given[:] = 0
    assert found.dtype == np.int64
    assert found.tolist() == [1, 2]


@pytest.mark.parametrize("value", [[[1]], [1.5], [-1], "ab", [None], [[1], [1, 2]], [2**64 - 1]])
def test_other_arrays_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^n = .*: must be 1-dimensional, of whole numbers"):
        check.integers("n", value, ndim=1)  # type: ignore[arg-type]


TRUE_OR_MASKED = [
    [True, 2],
    [2, np.True_],
    [[1, 2], [3, False]],
    [np.array([True, False]), np.array([1, 2])],
    np.array([True]),
    np.ma.array([1, 2], mask=[False, True]),
    np.ma.array([1, 2]),
    [np.ma.array([1, 2], mask=[False, True]), [1, 2]],
    [1, np.ma.masked],
]


@pytest.mark.parametrize("value", TRUE_OR_MASKED)
def test_truth_values_and_masks_are_refused_wherever_they_are(value: object) -> None:
    for read in (
        lambda: check.numbers("n", value),
        lambda: check.integers("n", value, ndim=None),
        lambda: check.per_client("n", value, 2),
        lambda: check.class_counts("n", value),
    ):
        with pytest.raises(ValueError, match=r"^n = .*, none masked, no truth values$"):
            read()


def test_a_masked_number_is_no_number() -> None:
    for read in (check.integer, check.real):
        with pytest.raises(ValueError, match=r"^n = .*: must be a"):
            read("n", np.ma.array(3, mask=True), 0)


def test_counts_that_overflow_when_they_are_summed_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^n = .*: must sum to at most 3000000000$"):
        check.class_counts("n", [[2**62] * 4 + [5]])


def test_a_long_value_is_cut_short() -> None:
    with pytest.raises(ValueError, match=r"^n = ") as caught:
        check.integers("n", [-1] * 10_000, ndim=1)
    assert len(str(caught.value)) < 200


MANY = check.MOST_SAMPLES
HUGE = np.broadcast_to(np.int64(1), (2**20, 2**20))  # a view, of eight bytes
ONE_STEP = sampling.Schedule([[MANY]])
TOO_LARGE = {
    "fls": lambda rng: sampling.fls([MANY], 1),
    "fpls": lambda rng: sampling.fpls([MANY], 1),
    "until_empty": lambda rng: sampling.until_empty([MANY], [3]),
    "ugs": lambda rng: sampling.ugs([MANY], 3, rng),
    "ugs_steps": lambda rng: next(iter(sampling.ugs_steps([MANY], 3, rng))),
    "lds": lambda rng: sampling.lds([[MANY]], 3, rng),
    "lds_steps": lambda rng: next(iter(sampling.lds_steps([[MANY]], 3, rng))),
    "slowest_first": lambda rng: sampling.slowest_first([2**27] * 2, [1, 2], 1),
    "targets": lambda rng: sampling.targets([[MANY]], 3, rng, delays=[1]),
    "global_batch_sizes": lambda rng: sampling.global_batch_sizes(MANY, 3),
    "Schedule": lambda rng: sampling.Schedule(HUGE),
    "local_class_counts": lambda rng: sampling.Schedule([[1]], HUGE[np.newaxis]),
    "class_counts": lambda rng: sampling.mixing_weights(HUGE),
    "hypergeometric_pmf": lambda rng: theory.hypergeometric_pmf(
        HUGE[: 2**15, :1], HUGE[0, : 2**15], 1, 1
    ),
    "class_count_pmf": lambda rng: theory.class_count_pmf(ONE_STEP, [[5, MANY - 5]], 0, 0),
    "expected_deviation": lambda rng: theory.expected_deviation(
        sampling.Schedule([[MANY // 2]]), [[MANY // 2] * 2]
    ),
    "prescribed": lambda rng: theory.class_count_mean(
        sampling.Schedule([[2**15]], np.ones((1, 1, 2**15), int)), np.ones((1, 2**15), int)
    ),
    "uniform_deviation_std": lambda rng: theory.uniform_deviation_std([MANY - 5, 5], MANY // 2),
    "batch_deviation": lambda rng: theory.batch_deviation(HUGE, [1]),
    "iid": lambda rng: partition.iid([2**62], 3, rng),
    "Partition": lambda rng: partition.Partition([[0]] * 3, [0], 2**40),
    "hidden": lambda rng: Config(hidden=(1,) * 100_000),
}


@contextmanager
def in_little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_is_too_large_is_refused_before_it_is_made(name: str, rng) -> None:
    with (
        in_little_memory(),
        pytest.raises(ValueError, match=r"must be a whole number from . to \d+$"),
    ):
        TOO_LARGE[name](rng)


def test_the_bound_on_the_time_of_many_steps_needs_no_step() -> None:
    with in_little_memory():
        assert split.epoch_time_bound([MANY - 1, 1], [1, 5], 1) == 5 + MANY - 1


@pytest.mark.parametrize("value", [None, 3, np.random])
def test_a_seed_is_no_generator(value: object) -> None:
    with pytest.raises(ValueError, match=r"^rng = .*: must be a numpy\.random\.Generator"):
        check.generator("rng", value)
    check.generator("rng", np.random.default_rng(0))


def test_a_demand_is_held_against_groups_of_classes() -> None:
    """The last group is all further classes: one group is any class."""
    held = np.array([[1, 2, 3], [0, 0, 1]])
    for asked in ([[6], [1]], [[1, 5], [0, 1]], held):
        check.demand("n", np.array(asked), held)
    for asked, sentence in [
        ([[7], [0]], r"^n\[0\] = 7: must be at most 6, what client 0 has left$"),
        ([[1, 5], [0, 2]], r"^n\[1, 1\] = 2: must be at most 1, what client 1 has left$"),
        ([[1], [0], [0]], "^n = .*: must be one number for each of 2 clients"),
        ([[0] * 4] * 2, "^n = .*: must be one number for each of 2 clients"),
        ([[0], [0]], "^n = .*, not all 0$"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            check.demand("n", np.array(asked), held)
