"""Class targets: fix how many samples of each class a step holds, then say who brings them.

UGS and LDS draw clients, and the classes of a batch follow from whom they drew. Class targets turn
this around. The class mix of every step is drawn first, as UGS would draw it or closer to the
pooled one; then every class is filled from its holders, the slowest first. So the batches keep
their class mix to the end of the epoch, and stragglers still run out of data early.

The server must know n_km, as for LDS. A target counts classes and nothing else; what it does not
protect against, and what of this LB-GPSL (arXiv 2609.32132) publishes too, is in method.md 3.4.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from pslref import check
from pslref.check import ArrayLike, IntArray
from pslref.sampling.assign import dealt, dealt_steps, lines_in, shuffled, slowest_first_order
from pslref.sampling.planned import MOST_PLANNED, planned_steps
from pslref.sampling.schedule import Schedule, Walk, tallied
from pslref.sampling.uniform import global_batch_sizes
from pslref.sampling.walks import Steps

DRAWS = ("hypergeometric", "stratified")
ASSIGNMENTS = ("random", "slowest-first", "planned")


def targets(
    class_counts: ArrayLike,
    batch_size: int,
    rng: np.random.Generator,
    *,
    delays: ArrayLike | None = None,
    sample_costs: ArrayLike = 0.0,
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
    more, for any d. "planned": the epoch as a whole, also if samples take time: a linear program
    says which deadlines its steps have, of which class mix within Δ ≤ slack of the pooled one, and
    who brings what to them; targets are drawn within the mix of a deadline. Stratified,
    Δ_t ≤ slack + 2 ⌊M / 2⌋ / B_t. [derived] (method.md 3.4)

    Args:
        class_counts: (K, M) samples n_km of class m at client k, whole numbers.
        batch_size: the global batch size B, 1 ≤ B ≤ N.
        rng: the source of randomness.
        delays: (K,) delay d_k of each client per step, finite, 0 or more, in any unit; only
            assign="random" needs none. Of equally slow clients few serve a step.
        sample_costs: (K,) or one for all, s_k per sample in the unit of the delays, 0 or more;
            above 0 only for assign="planned", which takes delays of None as 0.
        draw: "hypergeometric" or "stratified".
        assign: "slowest-first", "planned" or "random".
        slack: 0 to 2, in units of Δ, for assign="planned" alone; 2 allows any mix.
        remainder: "short" or "even", as in `ugs`.

    Returns:
        The schedule, with `local_class_counts`: (T, K, M) samples of each class that each client
        brings to each step. An array of more than 2 GiB is refused.
    """
    asked = Asked(**locals())  # all of these
    name = "steps * clients * classes in one array (targets_steps needs none)"
    check.integer(name, asked.batches.size * asked.counts.size, 1, check.MOST_NUMBERS)
    if assign == "planned":
        local = np.zeros((asked.batches.size, *asked.counts.shape), np.int64)
        for now, (clients, brought) in zip(local, asked.steps(), strict=True):
            now[clients] = brought
    else:
        local = dealt(asked.class_targets(), len(asked.counts), asked.lines())
    return Schedule(local.sum(axis=2), local)


def targets_steps(
    class_counts: ArrayLike, batch_size: int, rng: np.random.Generator, **options: Any
) -> Steps:
    """The steps of `targets` one by one, each (P, M) by class; arguments as there, by name.

    Time and memory grow with the samples and with T · M; for "planned", see method.md 3.4.
    """
    asked = Asked(class_counts, batch_size, rng, **options)
    return Steps(asked.steps(), asked.batches.size, len(asked.counts))


class Asked:
    """The arguments of `targets`, checked, and what is drawn from them."""

    def __init__(
        self,
        class_counts: ArrayLike,
        batch_size: int,
        rng: np.random.Generator,
        *,
        delays: ArrayLike | None = None,
        sample_costs: ArrayLike = 0.0,
        draw: str = "hypergeometric",
        assign: str = "slowest-first",
        slack: float = 0.0,
        remainder: str = "short",
    ) -> None:
        self.counts = check.class_counts("class_counts", class_counts)
        num_clients = len(self.counts)
        self.batches = global_batch_sizes(int(self.counts.sum()), batch_size, remainder)
        check.generator("rng", rng)
        self.rng = rng
        self.draw = check.one_of("draw", draw, DRAWS)
        self.assign = check.one_of("assign", assign, ASSIGNMENTS)
        if assign == "planned":
            check.integer("samples to plan for", int(self.counts.sum()), 1, MOST_PLANNED)
        self.slack = check.real("slack", slack, 0, 2)
        if assign == "slowest-first" and delays is None:
            raise check.wrong("delays", delays, "must be given when assign = 'slowest-first'")
        if assign != "planned" and slack > 0:
            raise check.wrong("slack", self.slack, "must be 0 unless assign = 'planned'")
        self.delays = check.per_client("delays", 0.0 if delays is None else delays, num_clients)
        self.sample_costs = check.per_client("sample_costs", sample_costs, num_clients)
        if assign != "planned" and self.sample_costs.any():
            raise check.wrong("sample_costs", sample_costs, "must be 0 unless assign = 'planned'")

    def class_targets(self) -> IntArray:
        """(T, M): the class counts of each step."""
        totals = self.counts.sum(axis=0)
        line_up = stratified if self.draw == "stratified" else shuffled
        return tallied(line_up(totals, self.rng), self.batches, totals.size)

    def steps(self) -> Walk:
        """The steps one by one."""
        if self.assign != "planned":
            return dealt_steps(self.class_targets(), len(self.counts), self.lines())
        return planned_steps(
            self.counts,
            self.batches,
            self.delays,
            self.sample_costs,
            self.slack,
            self.rng,
            is_drawn=self.draw == "hypergeometric",
        )

    def lines(self) -> Iterable[IntArray]:
        """For each class the line of its holders, one place for each sample."""
        if self.assign == "random":
            return (shuffled(n_m, self.rng) for n_m in self.counts.T)
        return lines_in(slowest_first_order(self.counts, self.delays), self.counts)


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
