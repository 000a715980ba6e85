"""Class counts for the tests of samplers."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st


@st.composite
def class_counts(
    draw: st.DrawFn, clients: int, classes: int, most: int, total: int = 1
) -> np.ndarray:
    """(K, M), of at least `total` samples; empty clients and classes come up."""
    num_classes = draw(st.integers(1, classes))
    row = st.lists(st.integers(0, most), min_size=num_classes, max_size=num_classes)
    counts = np.array(draw(st.lists(row, min_size=1, max_size=clients)))
    assume(counts.sum() >= total)
    return counts
