"""One step of parallel split learning: section 1 of docs/method.md on one page."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pslref.check import IntArray
from pslref.split.client import Client
from pslref.split.server import Server, summed


class Diverged(ValueError):
    """The loss of a step is not a finite number, and it was not committed; or a logit is not."""


class Aborted(Exception):
    """Gradients never arrived, some as clients are `gone` without notice: nothing is committed."""

    def __init__(self, missing: Sequence[int], gone: Sequence[int] = ()) -> None:
        super().__init__(f"the gradients of clients {missing} never arrived")
        self.gone = gone


class Step(NamedTuple):
    """What a committed step did."""

    loss: float  # mean cross-entropy over the global batch, in nats, before the update
    batch: IntArray  # (B_t,) indices of its samples, in the order in which the server saw them
    num_participants: int  # P_t
    sent: tuple[int, ...]  # bytes of each kind, in the order of `Traffic`


def step(
    clients: Sequence[Client],
    server: Server,
    counts: IntArray,
    lost: Collection[int] = (),
    *,
    pooled: bool = False,
    arrived: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Step:
    """Take one step; it is committed whole or not at all. [paper] (method.md 1)

    In exact arithmetic it is one centralized SGD step on the pooled batch, whatever the local
    batch sizes, at every cut [derived]. If it is not committed, since the loss is not finite
    (`Diverged`) or a participant is lost (`Aborted`), no weight and no velocity has changed, and
    all samples drawn for it are unused again, in the order in which they were.

    Args:
        clients: all K.
        server: the server.
        counts: (K, G) what it asks of each client, not all 0: a step of `Schedule.demands`.
        lost: numbers of clients that are not there to the end: their gradients never arrive.
        pooled: one client half runs all participants' samples. All halves are equal, so the result
            is the same to rounding, and much faster.
        arrived: turns what the clients were asked for into what they answer. These here have done
            it; others, elsewhere, work at once. (method.md 1.2)
    """
    participants = [clients[k] for k in np.flatnonzero(counts.any(axis=1)).tolist()]

    # 1. Each participant takes its next samples, runs the client half, and sends the activations
    #    at the cut with the labels. It gets the current half first, whether or not it took part
    #    in the step before: the server updates it in every step.
    batches = [client.draw(counts[client.client]) for client in participants]
    batch = np.concatenate(batches)
    try:
        if pooled:  # the one half is the server's own
            smashed = [participants[0].forward(batch)]
        else:
            half = server.send()
            for client in participants:
                client.receive(half)
            forward = (c.forward(own) for c, own in zip(participants, batches, strict=True))
            smashed = list(arrived(forward))

        # 2. The server runs its half on all of them, takes the mean loss over all B_t samples, and
        #    returns to each client its own rows of the gradient at the cut.
        loss, cut_gradients = server.step(smashed)

        # 3. Each of these clients backpropagates: g_k. 4. The client gradients are summed, not
        #    averaged: the loss is a mean over the global batch already.
        backward = (clients[message.client].backward(message) for message in cut_gradients)
        total = summed(arrived(backward))
        check_finite("loss", loss, server)
        missing = [client.client for client in participants if client.client in lost]
        if missing:
            raise Aborted(missing)
    except Exception:
        for client in participants:
            client.put_back()
        raise

    #    Now the step is committed: both halves are updated, so that every client's next forward
    #    pass has the new weights, also that of a client which sat this step out.
    server.update(total)
    samples, at_cut = (sum(message.nbytes for message in m) for m in (smashed, cut_gradients))
    halves = len(participants) * server.send().nbytes  # a gradient is as large as what it is of
    sent = (samples - batch.nbytes, batch.nbytes, at_cut, halves, halves)
    return Step(loss, batch, len(participants), sent)


def check_finite(name: str, number: float, server: Server) -> None:
    """Raise `Diverged` for a number that is not finite."""
    if not np.isfinite(number):
        rate = server.optimizer.learning_rate
        raise Diverged(f"the {name} is {number} with learning_rate = {rate}: must be smaller")
