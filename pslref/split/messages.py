"""What crosses the wire between a client and the server (docs/method.md, section 1)."""

from dataclasses import dataclass

from pslref.check import Array


@dataclass(frozen=True)
class ClientHalf:
    """Server to client: the current client half, before the client's forward pass.

    Attributes:
        weights: by parameter name.
    """

    weights: dict[str, Array]


@dataclass(frozen=True)
class SmashedBatch:
    """Client to server: the activations at the cut layer ('smashed data') with their labels.

    Attributes:
        client: k.
        activations: (b_tk, ...) output of the client half.
        labels: (b_tk,) int64.
    """

    client: int
    activations: Array
    labels: Array

    @property
    def nbytes(self) -> int:
        """Bytes up: activations and labels."""
        return self.activations.nbytes + self.labels.nbytes


@dataclass(frozen=True)
class CutGradient:
    """Server to client: this client's own rows of the gradient of the mean loss at the cut.

    Attributes:
        client: k.
        gradient: (b_tk, ...), in the order of the activations it answers.
    """

    client: int
    gradient: Array

    @property
    def nbytes(self) -> int:
        """Bytes down."""
        return self.gradient.nbytes


@dataclass(frozen=True)
class ClientGradient:
    """Client to server: g_k, the gradient of the mean loss that flows through k's own samples.

    Attributes:
        client: k.
        gradients: by parameter name, each of its parameter's shape.
    """

    client: int
    gradients: dict[str, Array]
