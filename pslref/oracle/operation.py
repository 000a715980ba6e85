"""An operation of the oracle is one decorated function; whatever else is said of it comes from it.

Its signature names the inputs and their kinds, its docstring is the equation and then words, its
body the reference, which calls the library. The decorator names the outputs, in the order in
which a step computes them, and the function that bounds their errors.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = dict[str, Any]  # of inputs, and of outputs
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Weights = dict[str, Floats]  # by the name of the parameter, "{layer}.weight" or "{layer}.bias"
Layers = list[dict[str, Any]]
Steps = list[dict[str, Floats | float | Weights]]  # one for each, with what `STEP` lists

KINDS: dict[Any, str] = {
    **{Floats: "floats", Ints: "ints", float: "number", int: "whole", str: "text"},
    **{Weights: "weights", Layers: "layers", Steps: "steps"},
}
# What a step of `split_steps` shows, in reading order, and of what kind.
STEP = {
    **{"smashed": "floats", "loss": "number", "cut_gradient": "floats"},
    **{"client_gradients": "weights", "summed_gradients": "weights"},
    **{"client_weights": "weights", "server_weights": "weights"},
}
# Outputs that an implementation may leave out, since not every framework shows them.
OPTIONAL = ("smashed", "cut_gradient", "client_gradients", "summed_gradients", "logits")

GROUPS = ("layers", "optimizer", "steps", "samplers", "laws")  # each a file of vectors
NETWORK = ("layers", "optimizer", "steps")  # computed in the precision of the network
ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}

# A bound takes the reference, its inputs, and the unit roundoff.
Bound = Callable[[Callable[..., Values], Values, float], Values]


@dataclass(frozen=True)
class Operation:
    """What may be asked of an implementation.

    Attributes:
        group: the file of its vectors, or "random".
        reference: the library's own answer.
        inputs: the kind of each, by name.
        outputs: likewise, in reading order.
        equation: in one line.
        words: what the equation does not say.
        bound: how far a right output may be off; 0 for one that it does not name.
    """

    group: str
    reference: Callable[..., Values]
    inputs: dict[str, str]
    outputs: dict[str, str]
    equation: str
    words: str
    bound: Bound

    def bounds(self, inputs: Values, dtype: str) -> Values:
        """How far the numbers of each output may be off in this precision."""
        return self.bound(self.reference, inputs, ROUNDOFF[dtype])


OPS: dict[str, Operation] = {}


def exact(reference: Callable[..., Values], inputs: Values, u: float) -> Values:
    """The bound of whole numbers."""
    return {}


def operation(
    group: str, bound: Bound = exact, **outputs: Any
) -> Callable[[Callable[..., Values]], Callable[..., Values]]:
    """Put the decorated function into the table; what is keyword-only is no input."""

    def register(reference: Callable[..., Values]) -> Callable[..., Values]:
        parameters = inspect.signature(reference).parameters.values()
        inputs = {p.name: KINDS[p.annotation] for p in parameters if p.kind != p.KEYWORD_ONLY}
        kinds = {name: KINDS[kind] for name, kind in outputs.items()}
        said, _, words = (inspect.getdoc(reference) or "").partition("\n\n")
        equation, words = " ".join(said.split()).rstrip("."), " ".join(words.split())
        OPS[reference.__name__] = Operation(group, reference, inputs, kinds, equation, words, bound)
        return reference

    return register
