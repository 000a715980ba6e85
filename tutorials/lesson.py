"""What the notebooks share: claims, answers to exercises, and the picture of a step."""

import os

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pictures import Picture

from pslref.app.pictures import own_settings


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


@own_settings()
def picture_of_a_step():
    """Two clients and a server, and what crosses between them in one step."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 4.2))
    axes.set_axis_off()
    arrow = {"arrowstyle": "->", "color": "black", "shrinkA": 0, "shrinkB": 0}

    def box(x, y, width, height, text):
        axes.add_patch(Rectangle((x, y), width, height, facecolor="0.93", edgecolor="black"))
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center")

    messages = [
        ("1. activations at the cut, and labels", "solid"),
        ("2. its rows of the gradient at the cut", "dashed"),
        ("3. gradient $g_k$ of its half", "solid"),
        ("4. updated client half", "dashed"),
    ]
    for client, bottom in enumerate((2.25, 0.1)):
        middle = bottom + 0.85
        axes.text(0.7, middle, f"images of\nclient {client}", ha="center", va="center")
        axes.annotate("", (1.8, middle), (1.4, middle), arrowprops=arrow)
        box(1.8, bottom, 1.4, 1.7, f"client half,\ncopy {client}")
        for (text, line), height in zip(messages, (1.4, 1.0, 0.6, 0.2), strict=True):
            ends = [(3.2, bottom + height), (7.2, bottom + height)]
            there, here = ends if line == "dashed" else ends[::-1]  # dashed: down to the client
            axes.annotate("", there, here, arrowprops=arrow | {"linestyle": line})
            axes.text(5.2, bottom + height + 0.03, text, ha="center", va="bottom", fontsize=9)
    box(7.2, 0.1, 1.4, 3.85, "server half")
    axes.annotate("", (9, 2.025), (8.6, 2.025), arrowprops=arrow)
    axes.text(9.1, 2.025, "loss", ha="left", va="center")
    return Picture(figure)
