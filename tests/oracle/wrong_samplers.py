"""Samplers with one mistake each: schedules that keep every promise, but not the law.

Each takes sizes, batch size, number of epochs and a generator, and returns (T, K) arrays.
"""

from collections.abc import Callable, Iterator

import numpy as np

from pslref.sampling import global_batch_sizes, ugs

Epochs = list[np.ndarray]
Sampler = Callable[[list[int], int, int, np.random.Generator], Epochs]
WRONG_UGS: dict[str, Sampler] = {}


def cut(ids: np.ndarray, num_clients: int, batch_size: int) -> np.ndarray:
    """The schedule that runs of batch_size ids make."""
    runs = range(0, len(ids), batch_size)
    return np.array([np.bincount(ids[i : i + batch_size], minlength=num_clients) for i in runs])


def in_order(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def one_by_one(sizes, batch_size, rng, weights) -> np.ndarray:
    """Draw client by client with weights, a function of what is left; empty ones are left out."""
    left, rows = np.array(sizes), []
    while left.any():
        row = np.zeros_like(left)
        for _ in range(min(batch_size, left.sum())):
            w = weights(left - row) * (left > row)
            row[rng.choice(len(left), p=w / w.sum())] += 1
        rows.append(row)
        left = left - row
    return np.array(rows)


def with_replacement(sizes, batch_size, num: int, rng) -> Epochs:
    """Clients drawn anew for every step: it does not exhaust them, so it is not in WRONG_UGS."""
    batches = global_batch_sizes(sum(sizes), batch_size)
    return [rng.multinomial(batches, np.array(sizes) / sum(sizes)) for _ in range(num)]


def wrong(sampler: Callable[..., Iterator[np.ndarray]]) -> None:
    """Register a generator of ids or schedules, one per epoch."""

    def epochs(sizes: list[int], batch_size: int, num: int, rng: np.random.Generator) -> Epochs:
        drawn = (e for e, _ in zip(sampler(sizes, batch_size, rng), range(num), strict=False))
        return [e if e.ndim == 2 else cut(e, len(sizes), batch_size) for e in drawn]

    WRONG_UGS[sampler.__name__] = epochs


@wrong
def shares_stay_as_at_first(n, b, rng):
    while True:
        yield one_by_one(n, b, rng, lambda left: np.array(n, float))


@wrong
def every_client_equally_likely(n, b, rng):
    while True:
        yield one_by_one(n, b, rng, lambda left: np.ones(len(n)))


@wrong
def one_schedule_for_every_epoch(n, b, rng):
    ids = rng.permutation(in_order(n))
    while True:
        yield ids


@wrong
def one_schedule_for_every_second_epoch(n, b, rng):
    ids = rng.permutation(in_order(n))
    while True:
        yield ids
        yield rng.permutation(ids)


@wrong
def each_schedule_used_twice(n, b, rng):
    while True:
        ids = rng.permutation(in_order(n))
        yield ids
        yield ids


@wrong
def one_of_twenty_schedules(n, b, rng):
    pool = [rng.permutation(in_order(n)) for _ in range(20)]
    while True:
        yield pool[rng.integers(20)]


@wrong
def clients_in_order(n, b, rng):
    while True:
        yield in_order(n)


@wrong
def client_after_client(n, b, rng):
    while True:
        yield np.concatenate([np.full(n[k], k) for k in rng.permutation(len(n))])


@wrong
def rotated_by_a_batch(n, b, rng):
    ids = rng.permutation(in_order(n))
    while True:
        yield ids
        ids = np.roll(ids, b)


@wrong
def rotated_by_a_sample(n, b, rng):
    ids = rng.permutation(in_order(n))
    while True:
        yield ids
        ids = np.roll(ids, 1)


@wrong
def rotated_at_random(n, b, rng):
    ids = rng.permutation(in_order(n))
    while True:
        yield np.roll(ids, rng.integers(len(ids)))


@wrong
def forth_and_back(n, b, rng):
    while True:
        ids = rng.permutation(in_order(n))
        yield ids
        yield ids[::-1]


@wrong
def the_same_batches_in_another_order(n, b, rng):
    rows = cut(rng.permutation(in_order(n)), len(n), b)
    while True:
        yield np.concatenate([rng.permutation(rows[:-1]), rows[-1:]])


@wrong
def proportional_within_each_batch(n, b, rng):
    while True:
        places = np.concatenate([(np.arange(size) + rng.random()) / max(size, 1) for size in n])
        yield in_order(n)[np.argsort(places)]


@wrong
def samples_in_pairs(n, b, rng):
    ids = in_order(n)
    pairs = [ids[i : i + 2] for i in range(0, len(ids), 2)]
    while True:
        yield np.concatenate([pairs[i] for i in rng.permutation(len(pairs))])


@wrong
def too_few_swaps_of_the_last_epoch(n, b, rng):
    ids = rng.permutation(in_order(n))
    while True:
        yield ids.copy()
        for i, j in rng.integers(len(ids), size=(len(ids) // 2, 2)):
            ids[[i, j]] = ids[[j, i]]


@wrong
def shuffled_within_a_window(n, b, rng):
    ids = in_order(n)
    while True:
        yield ids[np.argsort(np.arange(len(ids)) + rng.random(len(ids)) * len(ids))]


@wrong
def batches_sorted_by_a_client(n, b, rng):
    while True:
        rows = ugs(n, b, rng).batch_sizes
        yield np.concatenate([rows[:-1][np.argsort(-rows[:-1, 0])], rows[-1:]])


@wrong
def end_of_the_epoch_not_shuffled(n, b, rng):
    while True:
        ids = rng.permutation(in_order(n))
        ids[-2 * b :].sort()
        yield ids


@wrong
def halves_never_mixed(n, b, rng):
    ids = rng.permutation(in_order(n))
    while True:
        rng.shuffle(ids[: len(ids) // 2])
        rng.shuffle(ids[len(ids) // 2 :])
        yield ids.copy()


@wrong
def swap_with_anyone(n, b, rng):
    """The shuffle that draws its partner from all places, not from those that remain."""
    while True:
        ids = in_order(n)
        for i in range(len(ids)):
            j = rng.integers(len(ids))
            ids[[i, j]] = ids[[j, i]]
        yield ids
