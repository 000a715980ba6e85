from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pslref.sampling import fls, fpls, until_empty

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


def test_rounding_is_exact_where_floats_are_not() -> None:
    # Client 0's quota is just below 1/2 of a sample more than 2^28, and a tie in floating point.
    sizes, batch_size = [2**29 + 1, 2**31 - 3], 2**30
    exact = [round(Fraction(batch_size * n, sum(sizes))) for n in sizes]
    assert fpls(sizes, batch_size).batch_sizes[0].tolist() == exact
