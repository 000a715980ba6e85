"""What crosses the wire between a client k and the server (docs/method.md, section 1)."""

from dataclasses import dataclass

import numpy as np

from pslref.check import Array, IntArray


class Message:
    """Something that crosses."""

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        fields = vars(self).values()
        named = [array for field in fields if isinstance(field, dict) for array in field.values()]
        return sum(a.nbytes for a in (*fields, *named) if isinstance(a, np.ndarray))


@dataclass(frozen=True)
class ClientHalf(Message):
    """Server to client: the current client half, before the client's forward pass."""

    weights: dict[str, Array]  # by parameter name


@dataclass(frozen=True)
class SmashedBatch(Message):
    """Client to server: the activations at the cut layer ('smashed data') with their labels."""

    client: int  # k
    activations: Array  # (b_tk, ...) output of the client half
    labels: IntArray  # (b_tk,)


@dataclass(frozen=True)
class CutGradient(Message):
    """Server to client: this client's own rows of the gradient of the mean loss at the cut."""

    client: int  # k
    gradient: Array  # (b_tk, ...), in the order of the activations it answers


@dataclass(frozen=True)
class ClientGradient(Message):
    """Client to server: g_k, the gradient of the mean loss that flows through k's own samples."""

    client: int  # k
    gradients: dict[str, Array]  # by parameter name, each of its parameter's shape
