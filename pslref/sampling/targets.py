"""Class targets: fix how many samples of each class a step holds, then say who brings them.

UGS and LDS draw clients, and the classes of a batch follow from whom they drew. Class targets turn
this around. The class mix of every step is drawn first, as UGS would draw it or closer to the
pooled one; then every class is filled from its holders, the slowest first. So the batches keep
their class mix to the end of the epoch, and stragglers still run out of data early.

The server must know n_km, how many samples of each class every client holds, as for LDS. A target
counts classes and nothing else; what it does not protect against is in method.md 3.4.
"""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling.assign import at_random, balanced, slowest_first_within_classes
from pslref.sampling.schedule import Schedule, tallied
from pslref.sampling.uniform import global_batch_sizes

DRAWS = ("hypergeometric", "stratified")
ASSIGNMENTS = ("random", "slowest-first", "balanced")

# An epoch is cut in two only where this saves at least that share of its time: finer cuts would
# sort clients of nearly equal delay, and pay for it with deviation in every step. [reading]
LEAST_SAVING = 0.01


def targets(
    class_counts: ArrayLike,
    batch_size: int,
    rng: np.random.Generator,
    *,
    delays: ArrayLike | None = None,
    sample_costs: ArrayLike | None = None,
    draw: str = "hypergeometric",
    assign: str = "slowest-first",
    slack: float = 0.0,
    remainder: str = "short",
) -> Schedule:
    """Class targets: draw each step's class counts c_tm, then assign them to the classes' holders.

    Draw. "hypergeometric": the class counts of a UGS batch. "stratified": every class is spread
    evenly over the epoch, which bounds Δ. Either way a step holds B_t p_m samples of class m in
    expectation, and the classes are exhausted after T = ⌈N / B⌉ steps.

    Assign. "random": each class's samples are dealt out in random order; with hypergeometric
    targets this is UGS in distribution. "slowest-first": they are dealt out from the slowest holder
    to the fastest. No assignment of the same targets is sooner done with the clients of delay d or
    more, for any d. "balanced": each step by itself ends as soon as its targets allow; for costs
    per sample.

    Slack. With slack > 0 the epoch may be cut into parts that have class mixes of their own, each
    within Δ ≤ slack of the pooled mix, such that the first part holds all the data of the slowest
    clients (`parts`). Targets are drawn within each part. 0 cuts nothing; 2 allows any mix, and
    comes near `pslref.split.epoch_time_bound`. [derived] (method.md 3.4)

    Args:
        class_counts: (K, M) samples n_km of class m at client k, whole numbers.
        batch_size: the global batch size B, 1 ≤ B ≤ N.
        rng: the source of randomness.
        delays: (K,) delay d_k of each client per step, finite, 0 or more, in any unit; only
            assign="random" needs none. Of equally slow clients the first comes first.
        sample_costs: (K,) or one for all, s_k per sample in the unit of the delays, 0 or more;
            for assign="balanced", which takes delays of None as 0.
        draw: "hypergeometric" or "stratified".
        assign: "slowest-first", "random" or "balanced".
        slack: 0 to 2, in units of Δ; above 0 only for assign="slowest-first", and in time that
            grows with K².
        remainder: "short" or "even", as in `ugs`.

    Returns:
        The schedule, with `local_class_counts`: (T, K, M) samples of each class that each client
        brings to each step. An array of more than 2 GiB is refused, and for "balanced"
        Σ_k min(n_k, B) above 2²⁸.
    """
    counts = check.class_counts("class_counts", class_counts)
    total, num_clients = int(counts.sum()), len(counts)
    num_steps = -(-total // check.integer("batch_size", batch_size, 1, total))
    check.integer("steps * clients * classes", num_steps * counts.size, 1, check.MOST_NUMBERS)
    check.generator("rng", rng)
    batches = global_batch_sizes(total, batch_size, remainder)
    check.one_of("draw", draw, DRAWS)
    check.one_of("assign", assign, ASSIGNMENTS)
    slack = check.real("slack", slack, 0, 2)
    if slack > 0 and assign != "slowest-first":
        raise check.wrong("slack", slack, "must be 0 unless assign = 'slowest-first'")
    if assign == "slowest-first" and delays is None:
        raise check.wrong("delays", delays, "must be given when assign = 'slowest-first'")
    if (assign == "balanced") != (sample_costs is not None):
        allowed = "must be given when assign = 'balanced', and only then"
        raise check.wrong("sample_costs", sample_costs, allowed)
    if assign == "balanced":
        most = int(np.minimum(counts.sum(axis=1), batch_size).sum())
        check.integer("sum of min(n_k, batch_size) for 'balanced'", most, 1, check.MOST_NUMBERS)
    d = check.per_client("delays", 0.0 if delays is None else delays, num_clients)
    s = check.per_client("sample_costs", 0.0 if sample_costs is None else sample_costs, num_clients)
    local = prescribed(batches, counts, rng, d, s, draw, assign, slack)
    return Schedule(local.sum(axis=2), local)


def prescribed(
    batches: IntArray,
    class_counts: IntArray,
    rng: np.random.Generator,
    delays: FloatArray,
    sample_costs: FloatArray,
    draw: str,
    assign: str,
    slack: float,
) -> IntArray:
    """(T, K, M): each part's class counts are drawn step by step, then dealt to the holders."""
    line_up = stratified if draw == "stratified" else shuffled
    drawn = [
        tallied(line_up(part.totals, rng), part.batches, part.totals.size)
        for part in parts(batches, class_counts, delays, slack)
    ]
    class_targets = np.concatenate(drawn)
    if assign == "random":
        return at_random(class_targets, class_counts, rng)
    if assign == "slowest-first":
        return slowest_first_within_classes(class_targets, class_counts, delays)
    return balanced(class_targets, class_counts, delays, sample_costs)


def shuffled(class_totals: IntArray, rng: np.random.Generator) -> IntArray:
    """(N,) the labels of all samples in a uniformly random order."""
    return rng.permutation(np.repeat(np.arange(class_totals.size), class_totals))


def stratified(class_totals: IntArray, rng: np.random.Generator) -> IntArray:
    """(N,) the labels of all samples in an order that spreads every class evenly.

    On a circle of circumference 1 class m has N_m evenly spaced points, from an offset of its
    own that is uniformly random; the labels are read once around from a random one of the N
    points. So each place in the order is class m with probability p_m, and E[c_tm] = B_t p_m.
    With M classes that have samples, Δ_t B_t ≤ 2 (M − 1). [derived] (method.md 3.4)
    """
    first = np.cumsum(class_totals) - class_totals
    labels = np.repeat(np.arange(class_totals.size), class_totals)
    nth = np.arange(labels.size) - first[labels]
    points = (nth + rng.random(class_totals.size)[labels]) / class_totals[labels]
    start = rng.integers(labels.size)
    return np.roll(labels[np.argsort(points, kind="stable")], -start)


class Part(NamedTuple):
    """Some steps of an epoch and the samples they use up.

    Attributes:
        batches: (T_i,) their sizes B_t.
        totals: (M,) the samples of each class, as many as the steps hold.
        held: (K, M) how many of them the j slowest clients hold together, j = 1..K.
    """

    batches: IntArray
    totals: IntArray
    held: IntArray

    def time(self, drops: FloatArray) -> float:
        """Expected: a part of t steps is done with a set of clients after max_m A_m / Q_m of it."""
        done = (self.held / np.maximum(self.totals, 1)).max(axis=1)
        return float(self.batches.size * (drops @ done))

    def cut(self, num_steps: int, needed: IntArray) -> tuple["Part", "Part"]:
        """The first steps, with all that is `needed` if they have room for it, and the rest."""
        size = self.batches[:num_steps].sum()
        fair = self.totals * (size / self.totals.sum())
        lacking, spare = np.maximum(needed - fair, 0), np.maximum(fair - needed, 0)
        exact = fair + lacking - spare * min(1.0, lacking.sum() / max(spare.sum(), 1e-9))
        first = np.maximum(np.floor(exact), needed).astype(np.int64)
        first[np.argsort(first - exact, kind="stable")[: size - first.sum()]] += 1
        of_first = np.minimum(self.held, first)
        return (
            Part(self.batches[:num_steps], first, of_first),
            Part(self.batches[num_steps:], self.totals - first, self.held - of_first),
        )


def parts(
    batches: IntArray, class_counts: IntArray, delays: FloatArray, slack: float
) -> list[Part]:
    """Cut an epoch into parts with class mixes of their own, to be done with slow clients sooner.

    Every set of slowest clients is tried, each with the least number of steps that holds all its
    data and leaves both sides within `slack`. The cut that saves most expected time is made; then
    both sides are cut again, until no cut saves `LEAST_SAVING` of the epoch. [reading]
    (method.md 3.4)
    """
    slowest = np.argsort(-delays, kind="stable")
    drops = -np.diff(delays[slowest], append=0.0)  # how much shorter a step is without each
    held = class_counts[slowest].cumsum(axis=0)
    epoch = Part(batches, held[-1], held)
    least_saving = LEAST_SAVING * epoch.time(drops)

    def is_within_slack(part: Part) -> bool:
        total, size = int(epoch.totals.sum()), int(part.totals.sum())
        apart = np.abs(part.totals * total - size * epoch.totals).sum()
        return bool(apart <= slack * size * total)

    def soonest(part: Part, needed: IntArray) -> tuple[Part, Part] | None:
        steps = range(
            int(np.searchsorted(part.batches.cumsum(), needed.sum())) + 1, len(part.batches)
        )
        i = bisect_left(steps, True, key=lambda t: all(map(is_within_slack, part.cut(t, needed))))
        return part.cut(steps[i], needed) if i < len(steps) else None

    def cut_again(part: Part) -> list[Part]:
        least_time, best = part.time(drops) - least_saving, None
        for needed in np.unique(part.held, axis=0):
            sides = soonest(part, needed)
            if sides and sides[0].time(drops) + sides[1].time(drops) < least_time:
                least_time, best = sides[0].time(drops) + sides[1].time(drops), sides
        return [*cut_again(best[0]), *cut_again(best[1])] if best else [part]

    return cut_again(epoch) if slack > 0 else [epoch]
