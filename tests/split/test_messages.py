"""How many bytes a message has."""

import numpy as np

from pslref.split import CutGradient, SmashedBatch


def test_bytes_are_those_of_the_arrays() -> None:
    """Five samples of 2 × 3 numbers at the cut, of 4 or 8 bytes, and a label of 8 each."""
    for dtype, size in [(np.float32, 4), (np.float64, 8)]:
        at_cut = np.zeros((5, 2, 3), dtype)
        assert SmashedBatch(0, at_cut, np.zeros(5, np.int64)).nbytes == 5 * 6 * size + 5 * 8
        assert CutGradient(0, at_cut).nbytes == 5 * 6 * size
