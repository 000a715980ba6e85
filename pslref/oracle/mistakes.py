"""Naming: which known mistake, or which other protocol, would have given exactly what came out."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from pslref import check
from pslref.oracle.checks import bounds_of
from pslref.oracle.compare import divergence, field, flatten
from pslref.oracle.operation import OPTIONAL, ROUNDOFF, Values
from pslref.oracle.parts import PARTS
from pslref.oracle.protocols import PROTOCOLS, PSL, STEP_MISTAKES
from pslref.oracle.training import Array, Arrays, split_steps
from pslref.oracle.vectors import Case

HUGE = 1e4  # a loss; from here on rounding errors are as large as the weights
SLACK = 8  # limits are for right runs; in a wrong one errors may grow more


class Mistake(NamedTuple):
    """A sentence, and the outputs that it stands for."""

    sentence: str
    predict: Callable[[Values], Values]
    is_protocol: bool = False


def known(op: str, protocol: str = PSL) -> list[Mistake]:
    """All that has a name in an operation, where `split_steps` should be this protocol."""
    looks, asked = f"{op} looks like a known mistake: ", PROTOCOLS[protocol]
    if op != "split_steps":
        return [
            Mistake(looks + words, partial(predict, op))
            for ops, words, predict in PARTS
            if op in ops.split()
        ]
    mistakes = [
        Mistake(looks + words, partial(split_steps, **asked.decisions | wrong))
        for words, wrong in STEP_MISTAKES
    ]
    protocols = [
        Mistake(
            f"{op} is right as {one.title} ({one.source}: {one.words}), not as {asked.title}",
            partial(split_steps, **one.decisions),
            is_protocol=True,
        )
        for one in PROTOCOLS.values()
        if one is not asked
    ]
    return mistakes + protocols


class Naming:
    """Finds what explains all answers to an operation.

    A mistake explains them if it gives, in every case, what came out, also where the answer was
    right, and if somewhere it makes the difference. Only numbers count: a case that was refused,
    or lacks an output, neither supports nor excludes anything. Every answer is compared once,
    with the mistakes that are left.

    Args:
        dtype: of the implementation.
        protocol: what `split_steps` should be, of `PROTOCOLS`.
    """

    def __init__(self, dtype: str, protocol: str = PSL) -> None:
        self.dtype, self.protocol = dtype, check.one_of("protocol", protocol, PROTOCOLS)
        self.new: dict[str, list[tuple[Case, Values]]] = defaultdict(list)
        self.left: dict[str, list[Mistake]] = {}
        self.supported: set[str] = set()  # sentences of mistakes that make the difference somewhere
        self.first: dict[str, str] = {}  # by operation: its first difference

    def add(self, case: Case, got: Values) -> None:
        """An answer."""
        self.new[case.op].append((case, got))

    def names(self, op: str) -> list[str]:
        """A sentence for each mistake that explains all answers so far; if any, for protocols."""
        left = self.left.get(op, known(op, self.protocol))
        for case, got in self.new.pop(op, []):
            names = _compared(case.expected, got)  # none where the inputs are invalid
            if names and got.keys() >= set(names):
                if found := divergence(case.expected, got, bounds_of(case, self.dtype)):
                    self.first.setdefault(op, f"{case.id}: {found}")
                left = [mistake for mistake in left if self._explains(mistake, case, got, names)]
        self.left[op] = left
        named = [one for one in left if one.sentence in self.supported]
        protocols = [
            f"{one.sentence}: the first difference is {self.first[op]}"
            for one in named
            if one.is_protocol
        ]
        return protocols or list(dict.fromkeys(one.sentence for one in named))

    def _explains(self, mistake: Mistake, case: Case, got: Values, names: list[str]) -> bool:
        if mistake.is_protocol and case.inputs["momentum"]:
            return True  # no definition says what becomes of velocities
        try:
            with np.errstate(all="ignore"):  # some mistakes make weights explode
                predicted = flatten(mistake.predict(case.inputs))
        except ValueError:
            return False
        right, limits = case.expected, bounds_of(case, self.dtype)
        for name in names:
            made = predicted[name]
            largest = 0.0 if made.dtype.kind in "iu" else np.abs(made).max(initial=0.0)
            limit = SLACK * np.max(limits[name]) + 1000 * ROUNDOFF[self.dtype] * largest
            if _differ(made, got[name], limit):
                return False
            if _differ(right[name], got[name], limits[name]) and _differ(right[name], made, limit):
                self.supported.add(mistake.sentence)
        return True


def _compared(expected: Arrays, came: Arrays) -> list[str]:
    """The outputs that must be shown, until the loss explodes.

    Not gradients and activations: who looks at them later may see others.
    """
    names = []
    for name in expected:
        output = field(name)
        if output == "loss" and not np.all(np.abs(came.get(name, 0)) < HUGE):
            break
        if output not in OPTIONAL or (name == "logits" and name in came):
            names.append(name)
    return names


@np.errstate(all="ignore")
def _differ(one: Array, other: Array, limit: Array | float) -> bool:
    return one.shape != other.shape or not bool(np.all(np.abs(one - other) <= limit))
