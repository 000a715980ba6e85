"""SGD with momentum and weight decay (docs/method.md, section 7)."""

from pslref import check
from pslref.check import Array


class SGD:
    """Stochastic gradient descent, in PyTorch's convention. [reading] (method.md 7)

    g ← g + weight_decay · w;  v ← momentum · v + g;  w ← w - learning_rate · v, from v = 0.

    Args:
        learning_rate: greater than 0.
        momentum: 0 to 1.
        weight_decay: 0 or more.
    """

    def __init__(
        self, learning_rate: float, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        self.learning_rate = check.real("learning_rate", learning_rate, 0, low_open=True)
        self.momentum = check.real("momentum", momentum, 0, 1)
        self.weight_decay = check.real("weight_decay", weight_decay, 0)
        self.velocity: dict[str, Array] = {}

    def update(self, parameters: dict[str, Array], grads: dict[str, Array]) -> None:
        """Change the parameters in place; the gradients stay as they are.

        Args:
            parameters: arrays by name, such as `Network.parameters()`.
            grads: their gradients, by the same names, in the same shapes, float32, float64 or whole
                numbers; cast to the parameters' dtype. v is kept by name too. If one of them is
                refused, nothing is changed.
        """
        if parameters.keys() != grads.keys():
            raise check.wrong("grads", sorted(grads), f"must name {sorted(parameters)}")
        checked = {name: _checked(name, w, grads[name]) for name, w in parameters.items()}
        for name, w in parameters.items():
            g = checked[name]
            if self.weight_decay:
                g = g + self.weight_decay * w
            if self.momentum:
                g = self.velocity[name] = self.momentum * self.velocity.get(name, 0) + g
            w -= self.learning_rate * g


def _checked(name: str, w: Array, grad: Array) -> Array:
    """The gradient in the dtype of w, if it has the shape of w."""
    dtype = check.float_dtype(f"parameters[{name!r}].dtype", w.dtype)
    g = check.floats(f"grads[{name!r}]", grad, dtype)
    if g.shape != w.shape:  # NumPy would repeat a smaller one
        raise check.wrong(f"grads[{name!r}].shape", g.shape, f"must be the parameter's, {w.shape}")
    return g
