"""Remote: the same clients on the workers of a Dask cluster (docs/method.md, section 1.2)."""

import asyncio
import copyreg
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any

import numpy as np

from pslref.check import Array, IntArray
from pslref.nn.network import Network
from pslref.split.client import Client
from pslref.split.messages import ClientHalf, CutGradient, SmashedBatch
from pslref.split.simulation import Simulation
from pslref.split.step import Aborted


def _reduced(message: SmashedBatch | CutGradient) -> tuple[Any, ...]:
    """For pickle: its rows keep their layout in memory, on which sums depend to the last bit."""
    client, rows, *labels = vars(message).values()
    axes = np.argsort(rows.strides)[::-1]
    return _made, (type(message), client, rows.transpose(axes), np.argsort(axes), *labels)


def _made(kind: Callable[..., Any], client: int, rows: Array, axes: IntArray, *labels: Any) -> Any:
    return kind(client, rows.transpose(axes), *labels)


copyreg.pickle(SmashedBatch, _reduced)
copyreg.pickle(CutGradient, _reduced)


class Host:
    """The clients of one worker, an actor of Dask; each holds its own samples alone."""

    def __init__(self, images: Callable[..., Any], held: list[Any], half: Network, like: Array):
        own = images(np.concatenate([indices for _, indices, *_ in held]))
        x = np.concatenate([like, own], dtype=like.dtype)  # of the same shape, or it raises
        ends = np.cumsum([indices.size for _, indices, *_ in held])[:-1]
        self.clients = {
            k: Client(k, half.copy(), part, labels, np.arange(labels.size), rng)
            for (k, _, labels, rng), part in zip(held, np.split(x, ends), strict=True)
        }
        self.threads = ThreadPoolExecutor(min(len(held), 256))

    async def answer(self, k: int, calls: list[tuple[str, object]]) -> Any:
        """What the last of these methods of client k returns; other clients work meanwhile."""
        run, client = asyncio.get_running_loop().run_in_executor, self.clients[k]
        return [await run(self.threads, getattr(client, name), what) for name, what in calls][-1]


class RemoteClient(Client):
    """The server's account of a client elsewhere; it returns what is to be called there."""

    def receive(self, message: ClientHalf) -> None:
        """Keep the current weights until the next forward pass."""
        self.half = message

    def forward(self, batch: IntArray) -> Any:
        """Run these samples, which the client knows by their places among its own."""
        places = np.argsort(self.indices)[np.searchsorted(np.sort(self.indices), batch)]
        return self.client, [("receive", self.half), ("forward", places)]

    def backward(self, message: CutGradient) -> Any:
        """Backpropagate from the cut."""
        return self.client, [("backward", message)]


class Remote(Simulation):
    """A simulation whose clients are on the workers of a Dask cluster. (method.md 1.2)

    Args:
        given, named: as for `Simulation`, but for `execution`. Of x only shape and dtype matter.
        cluster: a `distributed.Client`, which must reach the workers directly.
        workers: their addresses; client k is on the k-th, modulo their number.
        images: called on each worker with the (n,) indices of its clients' samples; returns their
            images as they would be in x, such as from a file that is there.
        time_limit: seconds for an answer, of which a step asks two; then a worker is gone.

    Raises:
        ValueError: as `Simulation` and `images` do.
        ConnectionAbortedError: from a step, if the scheduler or all clients with samples do not
            answer any more. The steps before it are committed.
    """

    kind = RemoteClient

    def __init__(
        self,
        *given: Any,
        cluster: Any,
        workers: Sequence[str],
        images: Callable[..., Array],
        time_limit: float = inf,
        **named: Any,
    ) -> None:
        super().__init__(*given, **named | {"execution": "pooled"})  # no half for each is made here
        self.execution, self.cluster, self.time_limit = "remote", cluster, time_limit
        held = [(c.client, c.indices, self.y[c.indices], c.rng) for c in self.clients]
        more, actor = (self.server.client_half, self.x[:0]), {"actor": True, "pure": False}
        hosts = [
            cluster.submit(Host, images, held[i :: len(workers)], *more, workers=[worker], **actor)
            for i, worker in enumerate(workers[: len(held)])
        ]
        with cluster.as_current():
            self.hosts = [host.result().answer for host in hosts]
        self.host_of = np.arange(len(held)) % len(hosts)
        self.gone = np.array([not indices.size for _, indices, *_ in held])  # or without samples

    def arrived(self, answers: Iterable[Any]) -> Iterable[Any]:
        """Ask all participants at once, and wait for all; Aborted if one does not answer."""
        asked = list(answers)
        found = self.cluster.sync(self._answers, asked)
        failed = {k: a for (k, _), a in zip(asked, found, strict=True) if isinstance(a, Exception)}
        if not failed:
            return found  # type: ignore[no-any-return]
        try:
            self.cluster.sync(self.cluster.scheduler.identity, callback_timeout=10)
        except (OSError, RuntimeError):  # the client has noticed, and closed
            raise ConnectionAbortedError("the scheduler does not answer any more") from None
        now = np.isin(self.host_of, self.host_of[list(failed)])  # a worker goes with all it has
        gone, error = np.flatnonzero(now).tolist(), next(iter(failed.values()))
        why = repr(error) if str(error) else f"no answer within time_limit = {self.time_limit:g} s"
        self.gone |= now
        if self.gone.all():
            raise ConnectionAbortedError(f"no client with samples answers any more: {why}")
        warnings.warn(f"clients {gone} are gone, and planned without: {why}", stacklevel=2)
        raise Aborted(list(failed), gone)

    async def _answers(self, asked: Sequence[Any]) -> list[Any]:
        """What each answers, or why it does not."""
        calls = [self.hosts[self.host_of[k]](k, calls) for k, calls in asked]
        limited = [asyncio.wait_for(call, self.time_limit) for call in calls]
        return await asyncio.gather(*limited, return_exceptions=True)
