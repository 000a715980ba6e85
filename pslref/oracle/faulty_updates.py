"""Known mistakes in who is updated, how, and what is evaluated. The docstrings are diagnoses."""

import numpy as np

from pslref import nn
from pslref.oracle.backends import Values
from pslref.oracle.engine import Array, Arrays, Engine

Sides = tuple[str, ...]
BOTH: Sides = ("client", "server")
CLIENT: Sides = ("client",)
SERVER: Sides = ("server",)


class AbsentNotUpdated(Engine):
    """Clients that sat a step out do not apply its update: the halves drift apart."""

    def updated(self, counts: Array) -> list[int]:
        return [int(k) for k in np.flatnonzero(counts)]


class HalfNotUpdated(Engine):
    """Only the first half of the clients apply the update."""

    def updated(self, counts: Array) -> list[int]:
        return list(range((self.num_clients + 1) // 2))


class FirstUpdated(Engine):
    """Only the first client applies the update."""

    def updated(self, counts: Array) -> list[int]:
        return [0]


class ClientsNeverUpdated(Engine):
    """The client halves are never updated."""

    def updated(self, counts: Array) -> list[int]:
        return []


class OwnGradient(AbsentNotUpdated):
    """Each participant applies its own gradient alone, not the sum."""

    def applied(self, client: int, total: Arrays, gradients: dict[int, Arrays]) -> Arrays:
        return gradients[client]


class SharedArray(Engine):
    """One array of gradients is shared by the clients, and each scales it by the rate in place."""

    def applied(self, client: int, total: Arrays, gradients: dict[int, Arrays]) -> Arrays:
        return {name: g * self.inputs["learning_rate"] ** client for name, g in total.items()}


class ServerNeverUpdated(Engine):
    """The server half is never updated."""

    def update(
        self, total: Arrays, gradients: dict[int, Arrays], server_gradients: Arrays, counts: Array
    ) -> None:
        before = self.server.copy()
        super().update(total, gradients, server_gradients, counts)
        self.server = before


class FreshOptimizers(Engine):
    """Every step makes new optimizers: momentum never acts."""

    sides = BOTH

    def update(
        self, total: Arrays, gradients: dict[int, Arrays], server_gradients: Arrays, counts: Array
    ) -> None:
        clients = self.client_sgds if "client" in self.sides else []
        for sgd in [*clients, self.server_sgd] if "server" in self.sides else clients:
            sgd.velocity.clear()
        super().update(total, gradients, server_gradients, counts)


class FreshClientOptimizers(FreshOptimizers):
    """Momentum never acts on the client half."""

    sides = CLIENT


class FreshServerOptimizer(FreshOptimizers):
    """Momentum never acts on the server half."""

    sides = SERVER


class NoDecay(Engine):
    """Weight decay is lost."""

    sides = BOTH

    def optimizer(self, client: bool) -> nn.SGD:
        i, side = self.inputs, "client" if client else "server"
        decay = 0.0 if side in self.sides else i["weight_decay"]
        return nn.SGD(i["learning_rate"], i["momentum"], decay)


class NoClientDecay(NoDecay):
    """Weight decay is lost on the client half."""

    sides = CLIENT


class NoServerDecay(NoDecay):
    """Weight decay is lost on the server half."""

    sides = SERVER


class VariantSGD(nn.SGD):
    """Another SGD than the one agreed on: "nesterov", "dampened" or "decoupled"."""

    def __init__(self, inputs: Values, variant: str) -> None:
        super().__init__(inputs["learning_rate"], inputs["momentum"], inputs["weight_decay"])
        self.variant = variant

    def update(self, parameters: Arrays, grads: Arrays) -> None:
        decoupled = self.variant == "decoupled"
        for name, w in parameters.items():
            decay = self.weight_decay * w
            g = grads[name] if decoupled else grads[name] + decay
            later = name in self.velocity
            gain = 1 - self.momentum if self.variant == "dampened" and later else 1.0
            v = self.velocity[name] = self.momentum * self.velocity.get(name, 0) + gain * g
            if self.variant == "nesterov":
                v = g + self.momentum * v
            w -= self.learning_rate * (v + decay if decoupled else v)


class Nesterov(Engine):
    """The momentum is Nesterov's."""

    variant = "nesterov"

    def optimizer(self, client: bool) -> nn.SGD:
        return VariantSGD(self.inputs, self.variant)


class Dampened(Nesterov):
    """The momentum dampens the gradient by 1 - momentum."""

    variant = "dampened"


class DecoupledDecay(Nesterov):
    """Weight decay is applied beside the velocity, not through it."""

    variant = "decoupled"


class Accumulated(Engine):
    """Gradients are not set to zero: each step adds to those of all steps before."""

    sides = BOTH

    def __init__(self, inputs: Values) -> None:
        super().__init__(inputs)
        self.seen: dict[str, Arrays] = {"client": {}, "server": {}}

    def update(
        self, total: Arrays, gradients: dict[int, Arrays], server_gradients: Arrays, counts: Array
    ) -> None:
        for side, grads in [("client", total), ("server", server_gradients)]:
            for name in grads if side in self.sides else []:
                grads[name] = self.seen[side][name] = self.seen[side].get(name, 0) + grads[name]
        super().update(total, gradients, server_gradients, counts)


class AccumulatedByClients(Accumulated):
    """Gradients of the client half are not set to zero between steps."""

    sides = CLIENT


class AccumulatedByServer(Accumulated):
    """Gradients of the server half are not set to zero between steps."""

    sides = SERVER


class EvaluatedTooEarly(Engine):
    """Evaluation runs the client half from before the last update."""

    def step(self, counts: Array, x: list[Array], y: list[Array]) -> Values:
        self.before = self.clients[0].copy()
        return super().step(counts, x, y)

    def evaluated(self) -> nn.Network:
        return self.before


class EvaluatedUntrained(Engine):
    """Evaluation runs an untrained client half, as if it were missing from the checkpoint."""

    def evaluated(self) -> nn.Network:
        return self.initial


FAULTY_UPDATES: list[type[Engine]] = [
    AbsentNotUpdated,
    HalfNotUpdated,
    FirstUpdated,
    ClientsNeverUpdated,
    OwnGradient,
    SharedArray,
    ServerNeverUpdated,
    FreshOptimizers,
    FreshClientOptimizers,
    FreshServerOptimizer,
    NoDecay,
    NoClientDecay,
    NoServerDecay,
    Nesterov,
    Dampened,
    DecoupledDecay,
    Accumulated,
    AccumulatedByClients,
    AccumulatedByServer,
    EvaluatedTooEarly,
    EvaluatedUntrained,
]
