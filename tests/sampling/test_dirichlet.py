from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref.sampling import Schedule, lds, lds_steps, mixing_weights, ugs
from pslref.sampling.dirichlet import draw
from tests.law import departures, smallest_shift
from tests.sampling.test_mixing import scenarios, seeds, slow_em_is_fine


@given(
    scenarios(),
    st.sampled_from([0.0, 0.5, 2.0, 50.0, 260.0]),
    st.sampled_from([1e-300, 0.01, 1.0, 100.0]),
    st.sampled_from(["expected", "sampled"]),
    st.sampled_from(["short", "even"]),
    st.booleans(),
    st.data(),
)
@settings(max_examples=300)
@slow_em_is_fine
def test_every_client_is_exhausted_in_batches_of_the_promised_size(
    case, delta, c, labels, remainder, reestimate, data
) -> None:
    counts, delays = case
    sizes, n = counts.sum(axis=1), int(counts.sum())
    batch_size, seed = data.draw(st.integers(1, n)), data.draw(seeds)
    options = {
        "delays": delays,
        "delta": delta,
        "concentration": c,
        "labels": labels,
        "remainder": remainder,
        "reestimate": reestimate,
        "max_iter": 50,
    }
    schedule = lds(counts, batch_size, np.random.default_rng(seed), **options)
    uniform = ugs(sizes, batch_size, np.random.default_rng(seed), remainder)
    assert schedule.sizes.tolist() == sizes.tolist()
    assert schedule.num_steps == -(-n // batch_size)
    assert schedule.batch_sizes.sum(axis=1).tolist() == uniform.batch_sizes.sum(axis=1).tolist()


@pytest.mark.parametrize("reestimate", [True, False])
@slow_em_is_fine
def test_clients_whose_weight_underflows_still_have_their_turn(rng, reestimate) -> None:
    """δ z is 699 for the straggler and below -200 for the others: e^-900 is 0 in floats."""
    counts = np.array([[4, 0], [2, 2], [0, 4], [1, 7]])
    delays = np.array([1, 1.5, 1, 10])
    z = (delays - delays.mean()) / delays.std()
    schedule = lds(counts, 4, rng, delays=delays, delta=699 / z[3], reestimate=reestimate)
    assert schedule.batch_sizes[:2].tolist() == [[0, 0, 0, 4]] * 2
    assert schedule.sizes.tolist() == [4, 4, 4, 8]
    # Here δ z is below -2000 for two fast clients: their prior itself underflows, next to six slow
    # ones that lack their class, or that have nothing.
    delays = np.array([1, 1] + [10] * 6)
    for slow in ([0, 3], [0, 0]):
        counts = np.array([[4, 0], [2, 2]] + [slow] * 6)
        schedule = lds(counts, 4, rng, delays=delays, delta=1200, reestimate=reestimate)
        assert schedule.sizes.tolist() == counts.sum(axis=1).tolist()
        assert not schedule.batch_sizes[: 3 * sum(slow) // 2, :2].any()


@pytest.mark.parametrize("point", [0.0, 0.5, 1 - 2**-53])
@given(
    st.lists(st.floats(1e-250, 1) | st.just(1e-250), min_size=1, max_size=30),
    st.data(),
)
def test_no_rounding_draws_a_client_that_has_nothing_left(point, weights, data) -> None:
    class Fixed:
        def random(self, size: int) -> np.ndarray:
            return np.full(size, point)

    sizes = st.lists(st.integers(0, 4), min_size=len(weights), max_size=len(weights))
    left = np.array(data.draw(sizes.filter(any)))
    batch_size = data.draw(st.integers(1, int(left.sum())))
    counts = draw(np.array(weights), left, batch_size, Fixed())  # type: ignore[arg-type]
    assert counts.sum() == batch_size
    assert all((counts >= 0) & (counts <= left))


def test_nothing_touches_the_arguments_or_the_global_generator(rng: np.random.Generator) -> None:
    counts, delays = np.array([[3, 1], [0, 4]], np.int32), np.array([1, 2])
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]  # noqa: NPY002
    lds(counts, 2, rng, delays=delays, delta=1)
    assert (counts.tolist(), delays.tolist()) == ([[3, 1], [0, 4]], [1, 2])
    assert (np.random.get_state()[1] == before).all()  # type: ignore[union-attr]  # noqa: NPY002


# --- the law of whole schedules

COUNTS, DELAYS, BATCH = np.array([[2, 1], [0, 2], [2, 0]]), np.array([1.0, 2.0, 4.0]), 2
OPTIONS = {"delays": DELAYS, "delta": 0.6, "concentration": 0.3, "pseudo_samples": 4}
Step = tuple[int, ...]


def plain_weights(clients: list[int], delta: float = 0.6) -> dict[int, float]:
    """π over `clients`, label by label and client by client, from the shares."""
    n = int(COUNTS.sum())
    size = {k: int(COUNTS[k].sum()) for k in range(3)}
    z = (DELAYS - DELAYS.mean()) / DELAYS.std()
    alpha = {
        k: 0.3 * (4 * (n - 1) / (n - 4) - 1) * size[k] / n * np.exp(delta * z[k]) for k in size
    }
    weights = {k: 1 / len(clients) for k in clients}
    for _ in range(2000):
        updated = {k: alpha[k] for k in clients}
        for m in range(2):
            mixture = sum(weights[k] * COUNTS[k, m] / size[k] for k in clients)
            for k in clients if mixture else []:
                labels = 4 * COUNTS[:, m].sum() / n
                updated[k] += labels * weights[k] * COUNTS[k, m] / size[k] / mixture
        weights = {k: w / sum(updated.values()) for k, w in updated.items()}
    return weights


def one_at_a_time(weights: dict[int, float], left: Step, missing: int) -> dict[Step, float]:
    """The law of a step: each sample's client from the weights of those that have samples."""
    if not missing:
        return {(0,) * len(left): 1.0}
    law: dict[Step, float] = {}
    total = sum(w for k, w in weights.items() if left[k])
    for k, w in weights.items():
        if left[k]:
            rest = tuple(n - (j == k) for j, n in enumerate(left))
            for counts, p in one_at_a_time(weights, rest, missing - 1).items():
                step = tuple(n + (j == k) for j, n in enumerate(counts))
                law[step] = law.get(step, 0) + p * w / total
    return law


def law_of_schedules(reestimate: bool) -> dict[tuple[Step, ...], float]:
    """Every whole schedule and its probability, all orders of draws followed."""
    weights_of = {
        tuple(clients): plain_weights(clients) if reestimate else plain_weights([0, 1, 2])
        for clients in [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]
    }
    law: dict[tuple[Step, ...], float] = {((3, 2, 2),): 1.0}  # what is left, then the steps
    for _ in range(4):
        longer: dict[tuple[Step, ...], float] = {}
        for (left, *steps), p in law.items():
            clients = tuple(k for k in range(3) if left[k])
            size = min(BATCH, sum(left))
            for step, q in one_at_a_time(weights_of[clients], left, size).items():
                rest = tuple(n - b for n, b in zip(left, step, strict=True))
                longer[(rest, *steps, step)] = p * q
        law = longer
    return {tuple(steps): p for (_, *steps), p in law.items()}


Sampler = Callable[[np.random.Generator], Schedule]


def seen(sampler: Sampler, rng: np.random.Generator, draws: int) -> Counter[object]:
    return Counter(tuple(map(tuple, sampler(rng).batch_sizes.tolist())) for _ in range(draws))


@pytest.mark.parametrize("reestimate", [True, False])
def test_whole_schedules_follow_the_law(reestimate, rng, alpha) -> None:
    """All steps jointly, caps and re-estimation included. False alarm: 1e-8.

    4,000 schedules show an outcome of probability 0.1 that is off by 0.05.
    """
    law = law_of_schedules(reestimate)
    assert sum(law.values()) == pytest.approx(1)
    assert smallest_shift(0.1, 4_000, len(law), alpha) < 0.05
    drawn = seen(lambda r: lds(COUNTS, BATCH, r, reestimate=reestimate, **OPTIONS), rng, 4_000)
    assert not departures(drawn, law, alpha)


BROKEN: dict[str, Sampler] = {
    "uniform": lambda rng: ugs(COUNTS.sum(axis=1), BATCH, rng),
    "weights not re-estimated": lambda rng: lds(COUNTS, BATCH, rng, reestimate=False, **OPTIONS),
    "fast clients favoured": lambda rng: lds(
        COUNTS, BATCH, rng, **{**OPTIONS, "delays": -DELAYS + 5}
    ),
    "delays ignored": lambda rng: lds(COUNTS, BATCH, rng, **{**OPTIONS, "delta": 0}),
    "no labels": lambda rng: lds(COUNTS, BATCH, rng, **{**OPTIONS, "concentration": 1e6}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_samplers_do_not(broken: Sampler, rng: np.random.Generator) -> None:
    assert departures(seen(broken, rng, 1_000), law_of_schedules(True), 1e-8)


def test_the_first_step_is_multinomial(rng: np.random.Generator, alpha: float) -> None:
    """No cap can bind on it: its counts are Multinomial(B, π). False alarm: 1e-8.

    With delta = 0, π is the shares: the mean B · n_k / N is that of UGS, the variance is larger.
    6,000 first steps show a probability of 0.3 that is off by 0.056.
    """
    counts, batch_size, draws = np.array([[3, 1], [0, 5], [3, 0]]), 3, 6_000
    for delta in (0.0, 1.0):
        weights = mixing_weights(counts, delays=[1, 5, 2], delta=delta)
        law = one_at_a_time(dict(enumerate(weights)), (99, 99, 99), batch_size)
        assert smallest_shift(0.3, draws, len(law), alpha / 2) < 0.056
        found: Counter[object] = Counter()
        for _ in range(draws):
            steps = lds_steps(counts, batch_size, rng, delays=[1, 5, 2], delta=delta)
            clients, brought = next(iter(steps))
            found[tuple(np.bincount(clients, brought, minlength=3).astype(int).tolist())] += 1
        assert not departures(found, law, alpha / 2)
