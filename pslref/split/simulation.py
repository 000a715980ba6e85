"""Simulation: K clients and a server in one process."""

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from pslref import check
from pslref.check import Array, ArrayLike, DTypeLike, IntArray
from pslref.nn import SGD, Network, keep_freed_memory
from pslref.partition import Partition
from pslref.sampling import Schedule
from pslref.split.client import Client
from pslref.split.epoch import NOTHING_DONE, Epoch, EpochRecord
from pslref.split.server import Server
from pslref.split.step import Step, check_finite, step

EVALUATION_ROWS = 1000  # images at a time, so that a large test set needs little memory


class Simulation:
    """Parallel split learning of one network by K clients and a server. (method.md 1) [paper]

    Args:
        net: the uncut network; it is copied, and the caller's stays as it is.
        cut: the number of layers in the client half, 1 to len(net.layers) - 1.
        x: (N, ...) images, finite; cast to the network's dtype.
        y: (N,) class labels 0..M-1, where M is the width of the network's output.
        partition: who holds which of the N samples.
        learning_rate: of SGD, for both halves.
        momentum: of SGD, 0 to 1.
        weight_decay: of SGD, 0 or more.
        rng: one independent stream is spawned from it for each client's shuffles.
        execution: "clients" runs K client objects that exchange messages with the server;
            "pooled" runs all participants' samples through one client half, which gives the same
            result to rounding, since all client halves are equal.
    """

    kind: type[Client] = Client

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
        self.x, self.y, self.num_classes = _checked(net, x, y, partition)
        self.server = Server(net.copy(), cut, SGD(learning_rate, momentum, weight_decay))
        half, k = self.server.client_half, partition.num_clients
        halves = [half] * k
        if execution == "clients":
            copied = k * sum(w.size for w in half.parameters().values())
            check.integer("execution by clients: their weights", copied, 0, check.MOST_NUMBERS)
            halves = [half.copy() for _ in halves]
        self.clients = [
            self.kind(k, half, self.x, self.y, indices, stream)
            for k, (half, indices, stream) in enumerate(
                zip(halves, partition.indices, rng.spawn(k), strict=True)
            )
        ]
        keep_freed_memory()
        self.last = NOTHING_DONE

    def start_epoch(self) -> None:
        """Every client shuffles its samples anew."""
        for client in self.clients:
            client.start_epoch()

    @property
    def unused(self) -> IntArray:
        """(K, M) samples of each class that each client has left in this epoch."""
        labels = (np.bincount(self.y[c.left], minlength=self.num_classes) for c in self.clients)
        return np.array(list(labels))

    @property
    def num_unused(self) -> int:
        """How many samples all clients have left in this epoch."""
        return sum(client.left.size for client in self.clients)

    def step(self, batch_sizes: ArrayLike, lost: Collection[int] = ()) -> float:
        """One step of the current epoch; returns the mean loss over the global batch, in nats.

        Afterwards `last` says what the step did, and `last_batch` holds the (B_t,) indices of its
        samples, in the order in which the server saw them.

        Args:
            batch_sizes: (K,) the local batch sizes b_tk, at least one of them positive; or
                (K, M) how many samples of each class. One epoch may mix the two.
            lost: clients that are not there to the end of the step.

        Raises:
            ValueError: for a client that does not exist or has fewer samples left than asked for;
                nothing has happened.
            Aborted: if a participant is lost. No half was updated, and what was drawn for the step
                is unused again.
            Diverged: if the loss is not finite; the same.
        """
        by_class = np.asarray(batch_sizes, object).ndim == 2
        counts = check.integers("batch_sizes", batch_sizes, ndim=2 if by_class else 1)
        counts = np.atleast_2d(counts.T).T  # (K,) becomes (K, 1)
        check.demand("batch_sizes", counts, self.unused)
        for k in lost:
            check.integer("lost client", k, 0, len(self.clients) - 1)
        return self.take(counts, lost).loss

    @np.errstate(all="ignore")  # Diverged says it better
    def take(self, counts: IntArray, lost: Collection[int] = ()) -> Step:
        """A `step` whose arguments have been checked."""
        pooled = self.execution == "pooled"
        self.last = step(
            self.clients, self.server, counts, lost, pooled=pooled, arrived=self.arrived
        )
        return self.last

    def arrived(self, answers: Iterable[Any]) -> Iterable[Any]:
        """What clients answer to what they were asked for: here they have done so."""
        return answers

    @property
    def last_batch(self) -> IntArray:
        """(B_t,) the samples of the last step, in the order in which the server saw them."""
        return self.last.batch

    def run_epoch(self, schedule: Schedule) -> EpochRecord:
        """Reshuffle every client, then walk the schedule.

        Raises:
            ValueError: for a schedule of other clients, or one that asks for more than they hold.
            Diverged: with the step and its loss; the steps before it are committed.
        """
        epoch = Epoch(self)
        for _ in epoch.walk(lambda unused: schedule):
            pass
        return epoch.record()

    @property
    def client_networks(self) -> list[Network]:
        """The K client halves, each as it is in its next forward pass: equal to each other."""
        if self.execution == "clients":
            for client in self.clients:
                client.receive(self.server.send())
        return [client.network for client in self.clients]

    @property
    def server_network(self) -> Network:
        """The server half."""
        return self.server.network

    @property
    def net(self) -> Network:
        """The trained whole: the current client half and the server's."""
        return self.server.net

    @np.errstate(all="ignore")
    def evaluate(self, x: ArrayLike, y: ArrayLike) -> float:
        """Accuracy in 0..1: the share of images whose largest logit is at their label.

        Raises:
            ValueError, Diverged: for a pixel, or an image's largest logit, that is not finite.
        """
        images, labels = _labelled(x, y, self.x.dtype)
        right = 0
        for i in range(0, labels.size, EVALUATION_ROWS):
            logits = self.net.evaluate(images[i : i + EVALUATION_ROWS])
            largest = float(logits.max(axis=1).sum())
            check_finite("sum of all images' largest logits", largest, self.server)
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
    num_classes = net.evaluate(images[:1]).shape[1]
    if labels.max() >= num_classes:
        raise check.wrong("y", y, f"must be labels from 0 to {num_classes - 1}")
    held = partition.class_counts.sum(axis=0)
    if not np.array_equal(held, np.bincount(labels, minlength=held.size)):
        raise check.wrong("partition", held, f"must hold the classes of the {labels.size} labels")
    return images, labels, num_classes
