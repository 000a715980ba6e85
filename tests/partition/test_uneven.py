from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from itertools import permutations, product
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.partition import dirichlet, extended_dirichlet, from_owners, shards
from pslref.partition.uneven import draw_owners
from tests.law import departures, smallest_shift
from tests.partition.drawn import assert_is_a_partition, cases, owners_of, seeds

alphas = st.sampled_from([1e-320, 1e-300, 1e-6, 0.1, 3.0, 1e6, 1e300])


@given(cases(), alphas, seeds)
def test_extended_dirichlet_is_a_partition_of_at_most_c_classes_a_client(
    case: tuple[list[int], int, int], alpha: float, seed: int
) -> None:
    labels, k, c = case
    part = extended_dirichlet(labels, k, c, alpha, np.random.default_rng(seed))
    assert_is_a_partition(part, labels, k)
    assert (part.class_counts > 0).sum(axis=1).max() <= c


@given(cases(), seeds)
def test_the_order_of_the_samples_does_not_matter(
    case: tuple[list[int], int, int], seed: int
) -> None:
    """The classes that clients hold, and how many samples of each, are the same."""
    labels, k, c = case
    other = np.random.default_rng(seed).permutation(labels)
    one, two = (
        extended_dirichlet(y, k, c, 0.5, np.random.default_rng(seed)) for y in (labels, other)
    )
    assert one.class_counts.tolist() == two.class_counts.tolist()


LABELS = [0, 1, 2, 3] * 5


def test_what_no_clients_could_hold_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"^classes_per_client = 1: must be 2 or more, for 3 cl"):
        extended_dirichlet(LABELS, 3, 1, 3.0, rng)


def test_a_class_that_nobody_ever_draws_is_an_error_and_no_loop() -> None:
    class OnlyClassZero(np.random.Generator):
        calls = 0

        def gumbel(self, *_: object, size: int, **__: object) -> np.ndarray:  # type: ignore
            self.calls += 1
            return np.array([1e9] + [0.0] * (size - 1))

    rng = OnlyClassZero(np.random.PCG64(0))
    with pytest.raises(ValueError, match="100 draws of 1 of 4 classes left a class without"):
        extended_dirichlet(LABELS, 6, 1, 3.0, rng)
    assert rng.calls == 100 * 6


def test_classes_are_redrawn_until_each_has_a_holder() -> None:
    """Two clients, two classes: they collide once in nine draws, and never in the result."""
    for seed in range(200):
        part = extended_dirichlet([0, 1], 2, 1, 3.0, np.random.default_rng(seed))
        assert part.sizes.tolist() == [1, 1]


def test_classes_are_spread_evenly_also_where_weights_underflow(rng: np.random.Generator) -> None:
    """100 classes, 128 clients: every class has two or three holders, exp(-300) to one.

    A draw takes a class with more holders than the fewest with probability e^-100 · 100 at most:
    256 draws do it with probability 1e-39.
    """
    labels = np.repeat(np.arange(100), 200)
    part = extended_dirichlet(labels, 128, 2, 1e6, rng)
    holders = (part.class_counts > 0).sum(axis=0)
    assert set(holders.tolist()) == {2, 3}
    assert ((part.class_counts > 0).sum(axis=1) == 2).all()


@pytest.mark.parametrize("shape", [0.1, 1e-6, 1e-300])
def test_clients_without_samples_are_allowed(shape: float) -> None:
    """With α = 0.1, 14 to 46 of the 128 clients were empty in 1,000 partitions."""
    labels, rng = np.repeat(np.arange(10), 5000), np.random.default_rng(0)
    part = extended_dirichlet(labels, 128, 2, shape, rng)
    assert part.sizes.sum() == 50_000
    assert (part.sizes == 0).any()
    if shape < 0.1:  # every class goes to one client
        assert (part.class_counts > 0).sum(axis=0).tolist() == [1] * 10


# The law


def law_of_classes(
    k: int, m: int, c: int, weight: Callable[[int, int], float] = lambda m, h: exp(-m * h)
) -> dict[Hashable, float]:
    """Who holds which class: all draws of classes one after another, without replacement."""
    law: dict[Hashable, float] = defaultdict(float)

    def draw(held: tuple[frozenset[int], ...], probability: float) -> None:
        holders = [sum(cls in classes for classes in held) for cls in range(m)]
        if len(held) == k:
            if all(holders):
                law[held] += probability
            return
        for order in permutations(range(m), c):
            p, left = probability, [weight(m, h) for h in holders]
            for cls in order:
                p *= left[cls] / sum(left)
                left[cls] = 0.0
            draw((*held, frozenset(order)), p)

    draw((), 1.0)
    return {held: p / sum(law.values()) for held, p in law.items()}


def classes_drawn(
    k: int, m: int, c: int, rng: np.random.Generator, draws: int
) -> Counter[Hashable]:
    seen: Counter[Hashable] = Counter()
    labels = np.repeat(np.arange(m), 100)
    for _ in range(draws):
        counts = extended_dirichlet(labels, k, c, 1e6, rng).class_counts
        seen[tuple(frozenset(np.flatnonzero(row).tolist()) for row in counts)] += 1
    return seen


@pytest.mark.parametrize(("k", "m", "c"), [(3, 2, 1), (3, 3, 2)])
def test_classes_follow_the_law(
    k: int, m: int, c: int, rng: np.random.Generator, alpha: float
) -> None:
    """Jointly for all clients, given that every class has a holder. False alarm: 1e-8.

    With equal shares (α = 1e6) a holder gets none of 100 samples with probability (2/3)^100,
    3e-18. 10,000 partitions show an outcome of probability 0.06 that is off by 0.025.
    """
    law = law_of_classes(k, m, c)
    assert smallest_shift(0.06, 10_000, len(law), alpha) < 0.025
    assert not departures(classes_drawn(k, m, c, rng, 10_000), law, alpha)


def test_classes_drawn_with_other_weights_do_not(rng: np.random.Generator) -> None:
    seen = classes_drawn(3, 3, 2, rng, 5_000)
    ignores_holders = law_of_classes(3, 3, 2, lambda m, h: 1.0)
    forgets_m = law_of_classes(3, 3, 2, lambda m, h: exp(-h))
    too_greedy = law_of_classes(3, 3, 2, lambda m, h: exp(-2 * m * h))
    for wrong in (ignores_holders, forgets_m, too_greedy):
        assert departures(seen, wrong, 1e-8)


SAMPLES = [1, 0, 0, 1]  # two of each of two classes; all three clients hold both


def law_of_owners(alpha: float, labels: Sequence[int] = SAMPLES) -> dict[Hashable, float]:
    """Who owns each sample, with Dirichlet shares integrated out: Pólya's urn, class by class."""
    law: dict[Hashable, float] = {}
    for owners in product(range(3), repeat=len(labels)):
        p, balls = 1.0, {cls: [alpha] * 3 for cls in labels}
        for cls, owner in zip(labels, owners, strict=True):
            p *= balls[cls][owner] / sum(balls[cls])
            balls[cls][owner] += 1
        law[owners] = p
    return law


def owners_drawn(rng: np.random.Generator, draws: int) -> Counter[Hashable]:
    parts = (extended_dirichlet(SAMPLES, 3, 2, 0.5, rng) for _ in range(draws))
    return Counter(owners_of(part) for part in parts)


def test_owners_follow_dirichlet_shares(rng: np.random.Generator, alpha: float) -> None:
    """All four samples jointly, so also the mean share 1/3. False alarm: 1e-8.

    10,000 partitions show an outcome of probability 0.1 that is off by 0.03.
    """
    law = law_of_owners(0.5)
    assert smallest_shift(0.1, 10_000, len(law), alpha) < 0.03
    assert not departures(owners_drawn(rng, 10_000), law, alpha)


def test_owners_with_other_shares_do_not(rng: np.random.Generator) -> None:
    seen = owners_drawn(rng, 5_000)
    alpha_shared_out, equal_shares = law_of_owners(0.5 / 3), law_of_owners(1e6)
    one_draw_for_all_classes = law_of_owners(0.5, [0, 0, 0, 0])
    for wrong in (alpha_shared_out, equal_shares, one_draw_for_all_classes):
        assert departures(seen, wrong, 1e-8)


# Other papers' splits, and a given one


@given(cases(), alphas, seeds)
def test_dirichlet_is_extended_dirichlet_with_all_classes_for_everybody(
    case: tuple[list[int], int, int], alpha: float, seed: int
) -> None:
    """It is a partition therefore, and the classes keep their law."""
    labels, k, _ = case
    part = dirichlet(labels, k, alpha, np.random.default_rng(seed))
    assert_is_a_partition(part, labels, k)
    everything = np.ones((k, max(labels) + 1), bool)
    owners = draw_owners(np.array(labels), everything, alpha, np.random.default_rng(seed))
    assert owners_of(part) == tuple(owners.tolist())


@given(cases(), st.sampled_from([0.1, 1.0, 1e6]), seeds, st.data())
def test_each_client_has_the_least_number_of_samples_or_nothing_is_returned(
    case: tuple[list[int], int, int], alpha: float, seed: int, data: st.DataObject
) -> None:
    labels, k, _ = case
    least = data.draw(st.integers(0, len(labels) // k))
    try:
        part = dirichlet(labels, k, alpha, np.random.default_rng(seed), least)
    except ValueError as error:
        sentence = str(error)
    else:
        sentence = f"least = {least}: must be smaller, or alpha larger: 100 draws left one"
        assert_is_a_partition(part, labels, k)
        assert part.sizes.min() >= least
    assert sentence.startswith(f"least = {least}: must be smaller, or alpha larger: 100 draws left")


def test_dirichlet_is_drawn_until_everybody_has_enough(rng: np.random.Generator) -> None:
    """Without `least` twenty draws in a row leave nobody empty once in 10^9 times or less."""
    labels = [0, 1] * 4
    assert min(dirichlet(labels, 4, 0.5, rng).sizes.min() for _ in range(20)) == 0
    for _ in range(5):
        assert dirichlet(labels, 4, 0.5, rng, least=1).sizes.min() >= 1


@given(cases(), seeds, st.data())
def test_shards_are_runs_of_the_sorted_samples(
    case: tuple[list[int], int, int], seed: int, data: st.DataObject
) -> None:
    labels, k, _ = case
    k = min(k, len(labels))
    s = data.draw(st.integers(1, len(labels) // k))
    part = shards(labels, k, s, np.random.default_rng(seed))
    assert_is_a_partition(part, labels, k)
    cut = np.array_split(np.argsort(labels, kind="stable"), k * s)
    pieces = {tuple(piece.tolist()) for piece in cut}
    for row in part.indices:
        ends = [0, *np.cumsum([piece.size for piece in of(row.tolist(), pieces)])]
        assert len(ends) == s + 1
        assert ends[-1] == row.size


def of(row: list[int], pieces: set[tuple[int, ...]]) -> list[np.ndarray]:
    """The pieces that make up a row, one after the other."""
    found = []
    while row:
        (piece,) = [p for p in pieces if p[0] == row[0] and list(p) == row[: len(p)]]
        found.append(np.array(piece))
        row = row[len(piece) :]
    return found


def test_every_deal_of_shards_is_equally_likely(rng: np.random.Generator, alpha: float) -> None:
    """Six ways to deal four shards to two clients. False alarm: 1e-8.

    5,000 partitions show an outcome of probability 1/6 that is off by 0.05.
    """
    law: dict[Hashable, float] = {
        owners: 1 / 6 for owners in product(range(2), repeat=4) if sum(owners) == 2
    }
    assert smallest_shift(1 / 6, 5_000, len(law), alpha) < 0.05
    seen = Counter(owners_of(shards([0, 0, 1, 1], 2, 2, rng)) for _ in range(5_000))
    assert not departures(seen, law, alpha)


@given(cases(), seeds)
def test_owners_give_back_their_partition(case: tuple[list[int], int, int], seed: int) -> None:
    labels, k, _ = case
    part = dirichlet(labels, k, 1.0, np.random.default_rng(seed))
    numbers = np.array(owners_of(part))
    held = [sorted(row.tolist()) for row in part.indices if row.size]
    for owners in (numbers, numbers - 10**12, [f"client {n:03d}" for n in numbers]):
        again = from_owners(owners, labels)
        assert [row.tolist() for row in again.indices] == held
        assert again.labels.tolist() == labels
