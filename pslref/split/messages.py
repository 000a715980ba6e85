"""What crosses the wire between a client k and the server (docs/method.md, section 1)."""

from dataclasses import dataclass

from pslref.check import Array, IntArray


@dataclass(frozen=True)
class ClientHalf:
    """Server to client: the current client half, before the client's forward pass."""

    weights: dict[str, Array]  # by parameter name

    @property
    def nbytes(self) -> int:
        """Bytes down: w_c."""
        return sum(w.nbytes for w in self.weights.values())


@dataclass(frozen=True)
class SmashedBatch:
    """Client to server: the activations at the cut layer ('smashed data') with their labels."""

    client: int  # k
    activations: Array  # (b_tk, ...) output of the client half
    labels: IntArray  # (b_tk,)

    @property
    def nbytes(self) -> int:
        """Bytes up: activations and labels."""
        return self.activations.nbytes + self.labels.nbytes


@dataclass(frozen=True)
class CutGradient:
    """Server to client: this client's own rows of the gradient of the mean loss at the cut."""

    client: int  # k
    gradient: Array  # (b_tk, ...), in the order of the activations it answers

    @property
    def nbytes(self) -> int:
        """Bytes down."""
        return self.gradient.nbytes


@dataclass(frozen=True)
class ClientGradient:
    """Client to server: g_k, the gradient of the mean loss that flows through k's own samples."""

    client: int  # k
    gradients: dict[str, Array]  # by parameter name, each of its parameter's shape

    @property
    def nbytes(self) -> int:
        """Bytes up: w_c."""
        return sum(g.nbytes for g in self.gradients.values())
