"""Samplers that err by a stated size, in the units in which the report says what it sees.

Each takes the size, 0 for a right one, and a generator; it returns (R, T, K) counts.
"""

import numpy as np

from pslref.oracle.distribution import judge
from pslref.oracle.result import Result
from pslref.sampling import ugs

SIZES, BATCH, EPOCHS = [60, 50, 40, 30], 12, 60


def judged(epochs: np.ndarray) -> list[Result]:
    return judge(epochs, "ugs", SIZES, BATCH)


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


SAMPLERS = {
    "clients": client_off,
    "spread": variance_off,
    "between_epochs": kept_places,
    "repeats": copied_epochs,
}
STATED = [
    ("clients", r"([\d.]+) % off for client 0", 0.01),
    ("spread", r"off by (\d+) %", 0.01),
    ("between_epochs", r"keep (\d+) %", 0.01),
    ("repeats", r"if there are (\d+)", 1.0),
]
