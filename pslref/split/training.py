"""Simulation: one step, one epoch. The only place where clients and server meet."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from pslref import check
from pslref.check import ArrayLike, DTypeLike, FloatArray, IntArray
from pslref.nn import SGD, Network
from pslref.partition import Partition
from pslref.sampling import Schedule
from pslref.split.client import Client
from pslref.split.messages import Array, SmashedBatch
from pslref.split.server import Server, summed
from pslref.theory import batch_deviation

EVALUATION_ROWS = 1000  # images at a time, so that a large test set needs little memory


class Diverged(ValueError):
    """The loss of a step is not a finite number, and it was not committed; or a logit is not."""


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did.

    Attributes:
        loss: (T,) mean cross-entropy over each global batch, in nats, before the update.
        deviation: (T,) batch deviation Δ_t, measured. (method.md 2)
        step_bytes_up: (T,) bytes of activations and labels, clients to server.
        step_bytes_down: (T,) bytes of gradients at the cut, server to clients.
    """

    loss: FloatArray
    deviation: FloatArray
    step_bytes_up: IntArray
    step_bytes_down: IntArray

    @property
    def bytes_up(self) -> int:
        """Bytes up, over the epoch."""
        return int(self.step_bytes_up.sum())

    @property
    def bytes_down(self) -> int:
        """Bytes down, over the epoch."""
        return int(self.step_bytes_down.sum())


class Simulation:
    """Parallel split learning of one network by K clients and a server. (method.md 1) [paper]

    In exact arithmetic each step is one centralized SGD step on the pooled batch, whatever the
    local batch sizes, at every cut [derived].

    Args:
        net: the uncut network; it is copied, and the caller's stays as it is.
        cut: the number of layers in the client half, 1 to len(net.layers) - 1.
        x: (N, ...) images; cast to the network's dtype.
        y: (N,) class labels 0..M-1, where M is the width of the network's output.
        partition: who holds which of the N samples.
        learning_rate: of SGD, for both halves.
        momentum: of SGD, 0 to 1.
        weight_decay: of SGD, 0 or more.
        rng: one independent stream is spawned from it for each client's shuffles.
        execution: "clients" runs K client objects that exchange messages with the server;
            "pooled" runs all participants' samples through one client half, which gives the same
            result to rounding, since all client halves are equal.

    Raises:
        ValueError: for a cut outside the network, images that are not finite, labels outside
            0..M-1, or a partition of another number of samples.
    """

    def __init__(
        self,
        net: Network,
        cut: int,
        x: ArrayLike,
        y: ArrayLike,
        partition: Partition,
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        rng: np.random.Generator,
        execution: str = "clients",
    ) -> None:
        check.generator("rng", rng)
        self.execution = check.one_of("execution", execution, ["clients", "pooled"])
        self.x, self.y, num_classes = _checked(net, x, y, partition)
        self.class_probs = np.bincount(self.y, minlength=num_classes) / self.y.size
        client_half, server_half = net.copy().cut(cut)
        optimizer = partial(SGD, learning_rate, momentum, weight_decay)
        self.server = Server(server_half, optimizer())
        halves = [(client_half, optimizer())] * partition.num_clients
        if execution == "clients":
            copied = len(halves) * sum(w.size for w in client_half.parameters().values())
            check.integer("execution by clients: their weights", copied, 0, check.MOST_NUMBERS)
            halves = [(client_half.copy(), optimizer()) for _ in halves]
        self.clients = [
            Client(k, half, sgd, self.x, self.y, indices, stream)
            for k, ((half, sgd), indices, stream) in enumerate(
                zip(halves, partition.indices, rng.spawn(partition.num_clients), strict=True)
            )
        ]
        self.last_batch: IntArray = np.zeros(0, np.int64)
        self.last_bytes = (0, 0)
        self.rows: list[tuple[float, int, int, IntArray]] = []  # one for each step that was walked

    def start_epoch(self) -> None:
        """Every client shuffles its samples anew."""
        for client in self.clients:
            client.start_epoch()
        self.rows = []

    def step(self, batch_sizes: ArrayLike) -> float:
        """One step of the current epoch; returns the mean loss over the global batch, in nats.

        Afterwards `last_batch` holds the (B_t,) indices of its samples, in the order in which
        the server saw them, and `last_bytes` the bytes up and down.

        Args:
            batch_sizes: (K,) the local batch sizes b_tk, at least one of them positive; or
                (K, M) how many samples of each class. One epoch may mix the two.

        Raises:
            ValueError: if a client has fewer samples left than asked for; nothing has happened.
            Diverged: if the loss is not finite; no half was updated.
        """
        by_class = np.asarray(batch_sizes, object).ndim == 2
        counts = check.integers("batch_sizes", batch_sizes, ndim=2 if by_class else 1)
        self._affordable("batch_sizes", counts)
        return self._step(counts)

    @np.errstate(all="ignore")  # Diverged says it better
    def _step(self, counts: IntArray) -> float:
        local = counts if counts.ndim == 1 else counts.sum(axis=1)
        participants = [self.clients[k] for k in np.flatnonzero(local)]
        run = self._step_by_clients if self.execution == "clients" else self._step_pooled
        return run(participants, counts)

    def _step_by_clients(self, participants: list[Client], counts: IntArray) -> float:
        smashed = [client.forward(counts[client.client]) for client in participants]
        loss, cut_gradients = self.server.step(smashed)
        self._finite("loss", loss)
        answers = zip(participants, cut_gradients, strict=True)
        total = summed(client.backward(gradient) for client, gradient in answers)
        self._commit(participants, total)
        self.last_batch = np.concatenate([client.batch for client in participants])
        self.last_bytes = sum(b.nbytes for b in smashed), sum(g.nbytes for g in cut_gradients)
        return loss

    def _step_pooled(self, participants: list[Client], counts: IntArray) -> float:
        half = participants[0]  # every client shares this one network and optimizer
        batch = np.concatenate([client.draw(counts[client.client]) for client in participants])
        activations, cache = half.network.forward(self.x[batch])
        smashed = SmashedBatch(half.client, activations, self.y[batch])
        loss, gradient = self.server.loss_and_gradient(smashed.activations, smashed.labels)
        self._finite("loss", loss)
        _, total = half.network.backward(gradient, cache, input_gradient=False)
        self._commit(participants, total)
        self.last_batch = batch
        self.last_bytes = (smashed.nbytes, gradient.nbytes)
        return loss

    def _commit(self, participants: list[Client], total: dict[str, Array]) -> None:
        """Update all halves; until here the step has changed nothing but what is unused."""
        self.server.update()
        for client in self.clients if self.execution == "clients" else participants[:1]:
            client.update(total)

    def run_epoch(self, schedule: Schedule) -> EpochRecord:
        """Reshuffle every client, then walk the schedule.

        Raises:
            ValueError: for a schedule of other clients, or one that asks for more than they hold.
            Diverged: with the step and its loss; the steps before it are committed.
        """
        self.start_epoch()
        for _ in self.walk(schedule):
            pass
        return self.end_epoch()

    def walk(self, schedule: Schedule) -> Iterator[int]:
        """Take the steps that the current epoch has not taken, yielding the number of those done.

        Raises:
            ValueError, Diverged: as `run_epoch`.
        """
        check.kind("schedule", schedule, Schedule)
        done = len(self.rows)
        name, steps = "schedule.sizes", schedule.batch_sizes[done:]
        if schedule.local_class_counts is not None:
            name = "schedule.local_class_counts.sum(axis=0)"
            steps = schedule.local_class_counts[done:]
        self._affordable(name, steps.sum(axis=0))
        if not schedule.batch_sizes.any(axis=1).all():
            raise ValueError("schedule.batch_sizes: must have a participant in every step")
        for t, counts in enumerate(steps, done):
            self._take(t, partial(self._step, counts))  # what it asks for was checked as a whole
            yield t + 1

    def end_epoch(self) -> EpochRecord:
        """What the steps walked since the epoch began did; the next epoch is to be started."""
        loss, up, down, counts = (np.array(column) for column in zip(*self.rows, strict=True))
        self.rows = []
        return EpochRecord(loss, batch_deviation(counts, self.class_probs), up, down)

    def _take(self, t: int, step: Callable[[], float]) -> None:
        """Take step t of an epoch and keep what it did."""
        try:
            loss = step()
        except Diverged as error:
            raise Diverged(f"step {t}: {error}") from None
        class_counts = np.bincount(self.y[self.last_batch], minlength=self.class_probs.size)
        self.rows.append((loss, *self.last_bytes, class_counts))

    def _affordable(self, name: str, counts: IntArray) -> None:
        """Refuse counts, (K,) or by class (K, M), that the clients' unused samples don't cover."""
        left = np.array([client.left.size for client in self.clients])
        if counts.ndim == 2:
            m = counts.shape[1]
            held = [self.y[client.left] for client in self.clients]
            left = np.array([np.bincount(labels, minlength=m)[:m] for labels in held])
        if counts.shape != left.shape or not counts.any():
            allowed = f"must be one number for each of {len(left)} clients"
            raise check.wrong(name, counts, f"{allowed}, or for each of their classes, not all 0")
        if np.any(counts > left):
            first = np.argwhere(counts > left)[0].tolist()
            allowed = f"must be at most {left[*first]}, what client {first[0]} has left"
            raise check.wrong(f"{name}{first}", int(counts[*first]), allowed)

    def _finite(self, name: str, number: float) -> None:
        if not np.isfinite(number):
            rate = self.server.optimizer.learning_rate
            raise Diverged(f"the {name} is {number} with learning_rate = {rate}: must be smaller")

    @property
    def client_networks(self) -> list[Network]:
        """The K client halves, equal to each other."""
        return [client.network for client in self.clients]

    @property
    def server_network(self) -> Network:
        """The server half."""
        return self.server.network

    @property
    def net(self) -> Network:
        """The trained whole: a client's half and the server's, sharing their arrays."""
        return Network([*self.clients[0].network.layers, *self.server.network.layers])

    @np.errstate(all="ignore")
    def evaluate(self, x: ArrayLike, y: ArrayLike) -> float:
        """Accuracy in 0..1: the share of images whose largest logit is at their label.

        Raises:
            ValueError, Diverged: for a pixel, or an image's largest logit, that is not finite.
        """
        images, labels = _labelled(x, y, self.x.dtype)
        net, right = self.net, 0
        for i in range(0, labels.size, EVALUATION_ROWS):
            logits = net.forward(images[i : i + EVALUATION_ROWS])[0]
            self._finite("sum of all images' largest logits", float(logits.max(axis=1).sum()))
            right += int(np.sum(logits.argmax(axis=1) == labels[i : i + EVALUATION_ROWS]))
        return right / labels.size


def _labelled(x: ArrayLike, y: ArrayLike, dtype: DTypeLike) -> tuple[Array, IntArray]:
    images = np.atleast_1d(check.numbers("x", x).astype(dtype, copy=False))
    if not np.isfinite(images).all():
        raise ValueError("x: must be finite, but holds NaN or infinite pixels")
    labels = check.integers("y", y, ndim=1)
    if len(images) != labels.size or not labels.size:
        raise check.wrong("y", y, f"must be one label for each of the {len(images)} images")
    return images, labels


@np.errstate(all="ignore")
def _checked(
    net: Network, x: ArrayLike, y: ArrayLike, partition: Partition
) -> tuple[Array, IntArray, int]:
    """Images in the network's dtype, labels, and the number of classes the network tells apart."""
    check.kind("net", net, Network)
    check.kind("partition", partition, Partition)
    dtype = next((w.dtype for w in net.parameters().values()), np.dtype(np.float64))
    images, labels = _labelled(x, y, dtype)
    num_classes = net.forward(images[:1])[0].shape[1]
    if labels.max() >= num_classes:
        raise check.wrong("y", y, f"must be labels from 0 to {num_classes - 1}")
    held = partition.class_counts.sum(axis=0)
    if not np.array_equal(held, np.bincount(labels, minlength=held.size)):
        raise check.wrong("partition", held, f"must hold the classes of the {labels.size} labels")
    return images, labels, num_classes
