"""The library itself as a backend: every operation runs the code that pslref runs."""

from collections.abc import Collection
from typing import Any

import numpy as np

from pslref.oracle import layers, samplers, steps  # noqa: F401  they fill the table
from pslref.oracle.backends import Spec
from pslref.oracle.operation import NETWORK, OPS, Values

__all__ = ["OPS", "Library"]


class Library:
    """pslref behind the protocol for backends.

    Args:
        dtype: float64 or float32, of the network.
        execution: "clients" or "pooled", as in `split.Simulation`.
    """

    def __init__(self, dtype: str = "float64", execution: str = "clients") -> None:
        self.spec = Spec(f"pslref ({execution})", dtype)
        self.execution = execution

    def capabilities(self) -> Collection[str]:
        """All operations."""
        return OPS

    def run(self, op: str, inputs: Values) -> Values:
        """Call the reference."""
        operation, more = OPS[op], {}
        if operation.group in NETWORK:
            inputs = {name: self._cast(value) for name, value in inputs.items()}
        if op == "split_steps":
            more = {"execution": self.execution}
        return operation.reference(**inputs, **more)

    def _cast(self, value: Any) -> Any:
        """Floating-point arrays in the precision of the network."""
        if isinstance(value, dict):
            return {name: self._cast(array) for name, array in value.items()}
        floats = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return value.astype(self.spec.dtype) if floats else value


def pooled() -> Library:
    """The library in its other execution, for the command line."""
    return Library(execution="pooled")
