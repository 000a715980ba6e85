"""UGS: each global batch is distributed as a uniform draw from the pooled data."""

import numpy as np
from numpy.typing import NDArray

from pslref import check
from pslref.check import ArrayLike, IntArray
from pslref.sampling.schedule import Schedule, check_dense, tallied

REMAINDERS = ("short", "even")


def ugs(
    sizes: ArrayLike, batch_size: int, rng: np.random.Generator, remainder: str = "short"
) -> Schedule:
    """Uniform global sampling (GPSL): shuffle all N samples' client ids, cut them into batches.

    Equivalently, b_t· ~ multivariate hypergeometric in what the clients have left; the clients
    then draw their own b_tk samples locally. T = ⌈N / B⌉. [paper] (method.md 3.2)

    Args:
        sizes: (K,) samples n_k of each client, whole numbers.
        batch_size: the global batch size B, 1 ≤ B ≤ N.
        rng: the source of randomness; one shuffle of N ids is drawn from it.
        remainder: "short" (batches of exactly B and one short last one) or "even" (all batches
            within one of each other, the larger ones first).
    """
    n = check.client_sizes("sizes", sizes)
    total = int(n.sum())
    check_dense(-(-total // check.integer("batch_size", batch_size, 1, total)), n.size)
    batches = global_batch_sizes(total, batch_size, remainder)
    check.generator("rng", rng)
    return Schedule(tallied(shuffled_clients(n, rng), batches, n.size))


def shuffled_clients(sizes: IntArray, rng: np.random.Generator) -> NDArray[np.int32]:
    """(N,) the number k of each client n_k times, in a uniformly random order."""
    line = np.repeat(np.arange(sizes.size, dtype=np.int32), sizes)
    rng.shuffle(line)
    return line


def global_batch_sizes(num_samples: int, batch_size: int, remainder: str = "short") -> IntArray:
    """(T,) sizes B_t of the global batches that N samples make: T = ⌈N / B⌉.

    "short" fixes the batch: B, B, ..., and what is left [reading]. "even" cuts N into T nearly
    equal parts: N = 50,000 and B = 128 make 343 batches of 128, then 48 of 127 [paper: the
    authors' code].
    """
    n = check.integer("num_samples", num_samples, 1, check.MOST_SAMPLES)
    b = check.integer("batch_size", batch_size, 1, n)
    num_steps = check.integer("steps of an epoch", -(-n // b), 1, check.MOST_NUMBERS)
    if check.one_of("remainder", remainder, REMAINDERS) == "short":
        batches = np.full(num_steps, b)
        batches[-1] = n - b * (num_steps - 1)
    else:
        batches = np.full(num_steps, n // num_steps)
        batches[: n % num_steps] += 1
    return batches
