"""The operations of samplers: their deterministic pieces, the exact laws, and random draws."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pslref import nn, sampling, split, theory
from pslref.check import IntArray
from pslref.oracle import bounds
from pslref.oracle.operation import Floats, Ints, Values, operation
from pslref.oracle.replay import RecordedClients, RecordedShuffle
from pslref.sampling import dirichlet
from pslref.sampling.deadlines import rooms as planned_rooms


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@operation("samplers", batch_sizes=Ints)
def fls(sizes: Ints, batch_size: int) -> Values:
    """b_k = max(1, round(B / K)), half to even, until a client is empty."""
    return {"batch_sizes": sampling.fls(sizes, batch_size).batch_sizes}


@operation("samplers", batch_sizes=Ints)
def fpls(sizes: Ints, batch_size: int) -> Values:
    """b_k = max(1, round(B n_k / N)), half to even, until a client is empty."""
    return {"batch_sizes": sampling.fpls(sizes, batch_size).batch_sizes}


@operation("samplers", batch_sizes=Ints)
def ugs_replay(sizes: Ints, batch_size: int, remainder: str, permutation: Ints) -> Values:
    """the client ids, n_k of each, in the order of the permutation, cut into ⌈N / B⌉ batches.

    The list of client ids is client k n_k times, in the order of clients; entry i of the shuffled
    list is entry `permutation[i]` of it. No seed is ever shared between languages.
    """
    rng = RecordedShuffle(permutation)
    return {"batch_sizes": sampling.ugs(sizes, batch_size, rng, remainder).batch_sizes}


@operation("samplers", bounds.prior, alpha=Floats)
def lds_prior(
    sizes: Ints, pseudo_samples: int, concentration: float, delta: float, delays: Floats
) -> Values:
    """α_k = c Z n_k/N exp(δ z_k), Z = S (N - 1) / (N - S) - 1, z the population z-score of d."""
    return {"alpha": dirichlet.prior(sizes, pseudo_samples, concentration, delta, delays)}


@operation("samplers", bounds.em, mixing_weights=Floats)
def lds_em(
    alpha: Floats, class_counts: Ints, label_counts: Floats, start: Floats, iterations: int
) -> Values:
    """γ_mk = π_k β_km / Σ_j π_j β_jm; π_k ∝ Σ_m S_m γ_mk + α_k, a fixed number of times.

    Exactly `iterations` updates from `start`. Labels of a class that no client holds are dropped.
    """
    beta = class_counts / class_counts.sum(axis=1, keepdims=True)
    pi, _ = dirichlet.em(alpha, beta, label_counts, start, tol=0.0, max_iter=iterations)
    return {"mixing_weights": pi}


@operation("samplers", batch_sizes=Ints)
def lds_replay(sizes: Ints, batch_size: int, remainder: str, draws: Ints) -> Values:
    """the drawn client ids in turn; a draw of a client that has given all is passed over.

    `draws` names a client for each draw. There are more draws than needed.
    """
    left, rows = sizes, []
    rng = RecordedClients(draws, left)
    for size in sampling.global_batch_sizes(int(left.sum()), batch_size, remainder):
        rows.append(dirichlet.draw(np.ones(left.size), left, int(size), rng))
        left = left - rows[-1]
    return {"batch_sizes": np.array(rows)}


@operation("samplers", rooms=Ints)
def rooms(deadlines: Floats, delays: Floats, sample_costs: Floats, batch_size: int) -> Values:
    """ρ_k(z) = min(B, ⌊(z - d_k) / s_k⌋), or B if s_k = 0, from z = d_k on, and 0 before.

    (K, J) how many samples client k has room for in a step with deadline z_j.
    """
    found = planned_rooms(deadlines, delays, sample_costs, batch_size)
    return {"rooms": found.astype(np.int64)}


@operation("laws", bounds.deviation, deviation=Floats)
def batch_deviation(batch_class_counts: Ints, class_probs: Floats) -> Values:
    """Δ_t = Σ_m |c_tm / B_t - p_m|."""
    return {"deviation": theory.batch_deviation(batch_class_counts, class_probs)}


@operation("laws", bounds.law, mean=Floats, variance=Floats, expected_deviation=Floats)
def batch_law(batch_sizes: Ints, class_counts: Ints) -> Values:
    """c_tm is a sum over clients of Hypergeometric(n_k, n_km, b_tk); E[Δ_t] given b_t."""
    schedule = sampling.Schedule(batch_sizes)
    return {
        "mean": theory.class_count_mean(schedule, class_counts),
        "variance": theory.class_count_variance(schedule, class_counts),
        "expected_deviation": theory.expected_deviation(schedule, class_counts),
    }


@operation("laws", bounds.law, expected_deviation=float)
def uniform_deviation(class_totals: Ints, batch_size: int) -> Values:
    """E[Δ] of B samples drawn without replacement: c_m is Hypergeometric(N, N_m, B)."""
    return {"expected_deviation": theory.expected_uniform_deviation(class_totals, batch_size)}


@operation("laws", bounds.positive(roundings=3), times=Floats)
def step_times(
    batch_sizes: Ints, delays: Floats, sample_costs: Floats, server_time: float
) -> Values:
    """max over k with b_tk > 0 of (d_k + b_tk s_k), plus the server's time."""
    schedule = sampling.Schedule(batch_sizes)
    return {"times": split.step_times(schedule, delays, sample_costs, server_time)}


@operation("random", schedules=Ints)
def sample(
    sampler: str,
    class_counts: Ints,
    batch_size: int,
    remainder: str,
    delays: Floats,
    delta: float,
    num_schedules: int,
    seed: int,
) -> Values:
    """R schedules, each drawn anew, of the sampler ugs, lds, fls or fpls.

    `num_schedules` schedules, (R, T, K). LDS with c = 1, expected labels,
    S = max(2, min(1000, ⌊N / 2⌋)), and EM again after clients ran out.
    """
    rng, sizes = _rng(seed), class_counts.sum(axis=1)
    draw: Callable[[], sampling.Schedule] = {
        "fls": lambda: sampling.fls(sizes, batch_size),
        "fpls": lambda: sampling.fpls(sizes, batch_size),
        "ugs": lambda: sampling.ugs(sizes, batch_size, rng, remainder),
        "lds": lambda: sampling.lds(
            class_counts, batch_size, rng, delays=delays, delta=delta, remainder=remainder
        ),
    }[sampler]
    return {"schedules": np.array([draw().batch_sizes for _ in range(num_schedules)])}


@operation("random", targets=Ints, local_class_counts=Ints)
def class_targets(
    draw: str,
    assign: str,
    class_counts: Ints,
    batch_size: int,
    remainder: str,
    delays: Floats,
    sample_costs: Floats,
    slack: float,
    num_schedules: int,
    seed: int,
) -> Values:
    """R times class counts c_tm of each step, drawn anew, and who brings them: Σ_k b_tkm = c_tm.

    ([method.md](method.md) 3.4) `num_schedules` times the class counts of every step, (R, T, M),
    and what each client brings of each class, (R, T, K, M). `draw` is hypergeometric or
    stratified, `assign` random, slowest-first or planned; only if planned, costs or slack are
    above 0.
    """
    rng = _rng(seed)
    options: Any = {"draw": draw, "assign": assign, "delays": delays, "remainder": remainder}
    options |= {"sample_costs": sample_costs, "slack": slack}
    drawn = (
        sampling.targets(class_counts, batch_size, rng, **options).demands()
        for _ in range(num_schedules)
    )
    local = np.array(list(drawn))
    return {"targets": local.sum(axis=2), "local_class_counts": local}


@operation("random", samples=Ints)
def local_batches(owners: Ints, batch_sizes: Ints, epochs: int, seed: int) -> Values:
    """each client hands out its own samples in the order of a shuffle, a new one each epoch.

    `owners[i]` is the client that holds sample i. The result is (E, N): for each epoch the
    samples in the order of use, step by step, and within a step client by client.
    """
    return _handed_out(owners, np.zeros_like(owners), batch_sizes[..., None], epochs, seed)


@operation("random", samples=Ints)
def local_class_batches(
    owners: Ints, labels: Ints, local_class_counts: Ints, epochs: int, seed: int
) -> Values:
    """the same where a step asks a client for so many samples of each class.

    The steps are (S, K, M); `labels[i]` is the class of sample i. Its classes may come in any
    order.
    """
    return _handed_out(owners, labels, local_class_counts, epochs, seed)


def _handed_out(
    owners: IntArray, labels: IntArray, steps: IntArray, epochs: int, seed: int
) -> Values:
    """What clients draw when steps (S, K, G) ask them."""
    images = np.zeros((labels.size, 1))
    clients = [
        split.Client(k, nn.Network([]), images, labels, np.flatnonzero(owners == k), rng)
        for k, rng in enumerate(_rng(seed).spawn(steps.shape[1]))
    ]
    found = []
    for _ in range(epochs):
        drawn = [clients[k].draw(counts) for row in steps for k, counts in enumerate(row)]
        found.append(np.concatenate(drawn))
        for client in clients:
            client.start_epoch()
    return {"samples": np.array(found)}
