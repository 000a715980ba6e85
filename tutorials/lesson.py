"""What the notebooks share: claims, answers to exercises, and the picture of a step."""

import os

import numpy as np
from matplotlib.figure import Figure

from pslref.app.pictures import Picture, own_settings


def claim(text, true):
    """Say whether a statement is true of the numbers at hand. Only the tests stop at a false one.

    Args:
        text: the statement.
        true: whether it is, one truth value or an array of them.
    """
    if np.all(true):
        print(f"✓ {text}")
    elif "STOP_AT_FALSE_CLAIMS" in os.environ:
        raise AssertionError(text)
    else:
        print(f"✗ no longer true with your numbers: {text}")


def answer(mine, is_right, hint):
    """Say whether an answer to an exercise is right.

    Args:
        mine: the answer, or None before there is one.
        is_right: a function of the answer.
        hint: what helps whoever has it wrong.
    """
    if mine is None:
        print("Put your answer in place of None.")
        return
    try:
        right, why = is_right(mine), ""
    except Exception as error:  # whatever a function or a shape of the reader's may raise
        right, why = False, f" ({type(error).__name__}: {error})"
    print("✓ right" if right else f"✗ not yet{why}. {hint}")


def close(mine, right):
    """Whether numbers agree to three digits, so that 1.667 will do for 5/3."""
    return np.allclose(mine, right, rtol=1e-3, atol=0)
