"""UGS: each global batch is distributed as a uniform draw from the pooled data."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike, IntArray
from pslref.sampling.schedule import Schedule, Steps, tally

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

    Returns:
        The schedule.

    Raises:
        ValueError: for sizes that are negative or all zero, B outside 1..N, another remainder.
    """
    n = check.client_sizes("sizes", sizes)
    b = check.integer("batch_size", batch_size, 1, int(n.sum()))
    return Schedule.from_steps(ugs_steps(n, b, rng, remainder), -(-int(n.sum()) // b), n.size)


def ugs_steps(
    sizes: ArrayLike, batch_size: int, rng: np.random.Generator, remainder: str = "short"
) -> Steps:
    """The steps of `ugs` one by one: (clients, counts), without the dense (T, K) array."""
    n = check.client_sizes("sizes", sizes)
    check.integer("batch_size", batch_size, 1, int(n.sum()))
    check.one_of("remainder", remainder, REMAINDERS)
    check.generator("rng", rng)
    return _steps(n, batch_size, rng, remainder)


def _steps(sizes: IntArray, batch_size: int, rng: np.random.Generator, remainder: str) -> Steps:
    batches = global_batch_sizes(int(sizes.sum()), batch_size, remainder)
    line = np.repeat(np.arange(sizes.size, dtype=np.int32), sizes)
    rng.shuffle(line)
    yield from tally(line, batches)


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
