import numpy as np
import pytest

from pslref import check, partition, sampling


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


def test_counts_that_overflow_when_they_are_summed_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^n = .*: must sum to at most 3000000000$"):
        check.class_counts("n", [[2**62] * 4 + [5]])


def test_a_long_value_is_cut_short() -> None:
    with pytest.raises(ValueError, match=r"^n = ") as caught:
        check.integers("n", [-1] * 10_000, ndim=1)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [None, 3, np.random])
def test_a_seed_is_no_generator(value: object) -> None:
    with pytest.raises(ValueError, match=r"^rng = .*: must be a numpy\.random\.Generator"):
        check.generator("rng", value)
    check.generator("rng", np.random.default_rng(0))


@pytest.mark.parametrize(
    "call",
    [
        lambda rng: sampling.ugs([3, 4], 2, rng),
        lambda rng: sampling.lds([[3], [4]], 2, rng),
        lambda rng: sampling.targets([[3], [4]], 2, rng, assign="random"),
        lambda rng: partition.iid([0, 1], 2, rng),
        lambda rng: partition.extended_dirichlet([0, 1], 2, 1, 1.0, rng),
    ],
)
def test_what_draws_refuses_a_seed(call) -> None:
    with pytest.raises(ValueError, match="rng = 3: must be"):
        call(3)
