from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.sampling import fls, fls_steps, fpls, fpls_steps, until_empty

sizes_and_batch = (
    st.lists(st.integers(0, 40), min_size=1, max_size=12)
    .filter(any)
    .flatmap(lambda sizes: st.tuples(st.just(sizes), st.integers(1, sum(sizes))))
)


def plain(sizes: list[int], local: list[int]) -> list[list[int]]:
    """The definition, one client and one step at a time."""
    left, rows = list(sizes), []
    while any(left):
        rows.append([min(b, n) for b, n in zip(local, left, strict=True)])
        left = [n - b for n, b in zip(left, rows[-1], strict=True)]
    return rows


@given(sizes_and_batch)
def test_fls_is_its_definition(case: tuple[list[int], int]) -> None:
    sizes, batch_size = case
    # Python rounds exact fractions half to even, as the definition asks.
    local = [max(1, round(Fraction(batch_size, len(sizes)))) if n else 0 for n in sizes]
    assert fls(sizes, batch_size).batch_sizes.tolist() == plain(sizes, local)


@given(sizes_and_batch)
def test_fpls_is_its_definition(case: tuple[list[int], int]) -> None:
    sizes, batch_size = case
    local = [max(1, round(Fraction(batch_size * n, sum(sizes)))) if n else 0 for n in sizes]
    assert fpls(sizes, batch_size).batch_sizes.tolist() == plain(sizes, local)


@pytest.mark.parametrize(("dense", "steps"), [(fls, fls_steps), (fpls, fpls_steps)])
@given(case=sizes_and_batch)
def test_every_client_is_exhausted_and_the_steps_agree(dense, steps, case) -> None:
    sizes, batch_size = case
    schedule = dense(sizes, batch_size)
    assert schedule.sizes.tolist() == sizes
    walked = [(c.tolist(), n.tolist()) for c, n in steps(sizes, batch_size)]
    assert walked == [(c.tolist(), n.tolist()) for c, n in schedule.steps()]


def test_the_effective_batch_is_not_always_the_one_asked_for() -> None:
    assert fls([10] * 128, 64).batch_sizes[0].sum() == 128  # one each at least
    assert fls([10] * 2, 5).batch_sizes[0].tolist() == [2, 2]  # 2.5 to the even 2
    assert fls([10] * 2, 3).batch_sizes[0].tolist() == [2, 2]  # 1.5 to the even 2
    assert fpls([30, 10], 2).batch_sizes[0].tolist() == [2, 1]  # 1.5 and 0.5


def test_any_local_batch_sizes_last_until_the_clients_are_empty() -> None:
    rows = [[2, 0, 1], [1, 0, 1], [0, 0, 1], [0, 0, 1]]
    assert until_empty([3, 0, 4], [2, 0, 1]).batch_sizes.tolist() == rows
    assert until_empty([3, 0, 4], [2, 9, 1]).batch_sizes.tolist() == rows
    assert until_empty([3, 0, 4], [9, 9, 9]).batch_sizes.tolist() == [[3, 0, 4]]


@pytest.mark.parametrize("local", [[2, 0, 0], [0, 1, 1], [2, 1], [1, 1, 1, 1]])
def test_no_client_with_samples_is_left_out(local) -> None:
    sentence = r"^local = \[.*\]: must be 1 or more for each client that has samples$"
    with pytest.raises(ValueError, match=sentence):
        until_empty([3, 0, 4], local)


def test_other_local_batch_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^local = .*: must be 1-dimensional, of whole numbers"):
        until_empty([3, 4], [1, -1])
    with pytest.raises(ValueError, match=r"^local = .*: must be 1-dimensional, of whole numbers"):
        until_empty([3, 4], [[1, 1]])
    with pytest.raises(ValueError, match=r"^sizes = .*must name at least one client"):
        until_empty([0, 0], [1, 1])


def test_rounding_is_exact_where_floats_are_not() -> None:
    # Client 0's quota is just below 1/2 of a sample more than 2^28, and a tie in floating point.
    sizes, batch_size = [2**29 + 1, 2**31 - 3], 2**30
    exact = [round(Fraction(batch_size * n, sum(sizes))) for n in sizes]
    assert fpls(sizes, batch_size).batch_sizes[0].tolist() == exact


@pytest.mark.parametrize("sampler", [fls, fpls])
@pytest.mark.parametrize("batch_size", [0, -1, 8, 2.0, True, None, "3"])
def test_a_batch_size_outside_1_to_n_is_refused(sampler, batch_size) -> None:
    with pytest.raises(ValueError, match=r"batch_size = .*must be a whole number from 1 to 7"):
        sampler([3, 4], batch_size)


@pytest.mark.parametrize("sampler", [fls, fpls])
@pytest.mark.parametrize("sizes", [[], [0, 0], [-1, 3], [1.5], [[3]], "abc", [2**62, 2**62]])
def test_sizes_that_are_none_are_refused(sampler, sizes) -> None:
    with pytest.raises(ValueError, match=r"sizes = .*must"):
        sampler(sizes, 1)
