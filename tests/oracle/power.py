"""Samplers that err by a stated size, in the units in which the report says what it sees.

Each takes the size, 0 for a right one, and a generator; it returns (R, T, K) counts.
"""

import numpy as np

from pslref.oracle.distribution import judge
from pslref.oracle.result import Result
from pslref.sampling import ugs
from pslref.sampling.dirichlet import draw

SIZES, BATCH, EPOCHS = [60, 50, 40, 30], 12, 60
WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])  # of LDS


def judged(law: str, epochs: np.ndarray) -> list[Result]:
    return judge(epochs, law, SIZES, BATCH, weights=WEIGHTS if law == "lds" else None)


def weight_off(error: float, rng: np.random.Generator) -> np.ndarray:
    """LDS in which the weight of client 0 is 1 + error times what it should be."""
    epochs = []
    for _ in range(EPOCHS):
        left, rows = np.array(SIZES), []
        while left.any():
            rows.append(draw(WEIGHTS * [1 + error, 1, 1, 1], left, min(BATCH, left.sum()), rng))
            left = left - rows[-1]
        epochs.append(rows)
    return np.array(epochs)


def client_off(error: float, rng: np.random.Generator) -> np.ndarray:
    """Client 0 is drawn with 1 + error times the weight of what it has left."""
    left = np.tile(np.array(SIZES, float), (EPOCHS, 1))
    ids = []
    for _ in range(sum(SIZES)):
        weights = (left * [1 + error, 1, 1, 1]).cumsum(axis=1)
        points = rng.random((EPOCHS, 1)) * weights[:, -1:]
        ids.append((weights <= points).sum(axis=1))
        left[np.arange(EPOCHS), ids[-1]] -= 1
    return cut(np.array(ids).T)


def variance_off(error: float, rng: np.random.Generator) -> np.ndarray:
    """A step draws pairs of samples, which have twice the variance, with this probability."""
    epochs = []
    for _ in range(EPOCHS):
        left, rows = np.array(SIZES), []
        while left.any():
            if rng.random() < error and (left // 2).sum() * 2 >= BATCH:
                rows.append(2 * rng.multivariate_hypergeometric(left // 2, BATCH // 2))
            else:
                rows.append(rng.multivariate_hypergeometric(left, min(BATCH, left.sum())))
            left = left - rows[-1]
        epochs.append(rows)
    return np.array(epochs)


def kept_places(error: float, rng: np.random.Generator) -> np.ndarray:
    """In every epoch this share of the places keeps its client; the others are shuffled."""
    ids = [rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))]
    for _ in range(EPOCHS - 1):
        ids.append(ids[-1].copy())
        moved = np.flatnonzero(rng.random(ids[-1].size) >= error)
        ids[-1][moved] = rng.permutation(ids[-1][moved])
    return cut(np.array(ids))


def copied_epochs(error: float, rng: np.random.Generator) -> np.ndarray:
    """So many epochs are copies of earlier ones."""
    epochs = np.array([ugs(SIZES, BATCH, rng).batch_sizes for _ in range(EPOCHS)])
    for r in 1 + rng.choice(EPOCHS - 1, int(error), replace=False):
        epochs[r] = epochs[rng.integers(r)]
    return epochs


def cut(ids: np.ndarray) -> np.ndarray:
    """The counts that lines of ids (R, N) make."""
    steps = ids.reshape(len(ids), -1, BATCH)
    return (steps[..., np.newaxis] == np.arange(len(SIZES))).sum(axis=2)


# The law, the sampler, and what the report calls the error: in such units.
STATED = [
    ("ugs", client_off, "clients", r"([\d.]+) % off for client 0", 0.01),
    ("lds", weight_off, "clients", r"([\d.]+) % off for client 0", 0.01),
    ("ugs", variance_off, "spread", r"off by (\d+) %", 0.01),
    ("ugs", kept_places, "between_epochs", r"keep (\d+) %", 0.01),
    ("ugs", copied_epochs, "repeats", r"if there are (\d+)", 1.0),
]
