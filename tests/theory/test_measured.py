import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pslref.theory import batch_deviation


def test_by_hand() -> None:
    counts = np.array([[2, 2, 0], [4, 0, 0], [1, 1, 2]])
    deviation = batch_deviation(counts, [0.25, 0.25, 0.5])
    assert deviation.dtype == np.float64
    assert deviation.tolist() == [1.0, 1.5, 0.0]
    assert counts.tolist() == [[2, 2, 0], [4, 0, 0], [1, 1, 2]]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20).filter(any))
def test_a_batch_of_all_the_data_has_none(totals) -> None:
    totals = np.array(totals)
    assert batch_deviation(totals[None], totals / totals.sum()).tolist() == [0.0]


@given(
    st.integers(1, 6).flatmap(
        lambda m: st.tuples(
            st.lists(st.lists(st.integers(0, 9), min_size=m, max_size=m).filter(any), max_size=9),
            st.lists(st.floats(0.001, 1), min_size=m, max_size=m),
        )
    )
)
def test_plain_loops_agree_and_the_range_is_kept(case) -> None:
    rows, weights = case
    probs = [w / sum(weights) for w in weights]
    by_loops = [sum(abs(c / sum(row) - p) for c, p in zip(row, probs, strict=True)) for row in rows]
    deviation = batch_deviation(np.array(rows, int).reshape(-1, len(probs)), probs)
    np.testing.assert_allclose(deviation, by_loops, rtol=1e-12, atol=1e-15)
    assert (deviation <= 2 * (1 - min(probs)) + 1e-12).all()
