"""Clients on three worker processes: the same as the simulation to the bit, also when one dies."""

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref.nn import Network, resnet
from pslref.split import Client, Epoch, Outage, Remote, Simulation, state
from tests.small import CLASSES, SHAPE, every_layer, setting, small
from tests.split.test_epoch import PLANS, lost_or_paused, planner

distributed = pytest.importorskip("distributed", reason="dask is not installed: `.[cluster]`")

# Dask warns when its own folders took a second to make, as on a busy machine.
pytestmark = pytest.mark.filterwarnings("ignore:Creating scratch directories")

WORKERS = 3


@pytest.fixture(scope="module")
def started() -> Iterator["distributed.Client"]:
    more = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(n_workers=WORKERS, threads_per_worker=1, **more) as cluster,
        distributed.Client(cluster, direct_to_workers=True) as client,
    ):
        yield client


@pytest.fixture
def dask(started: "distributed.Client") -> "distributed.Client":
    """With three workers, also after a test that has killed one: it is started anew."""
    while len(started.nthreads()) < WORKERS:
        time.sleep(0.1)
    return started


def remote(dask: "distributed.Client", **more) -> Callable[..., Simulation]:
    """Made as a `Simulation` is, of which the server keeps no image."""

    def make(*, x: np.ndarray, **given) -> Simulation:
        there = {"workers": sorted(dask.nthreads()), "images": lambda indices: x[indices]}
        return Remote(x=np.zeros_like(x), cluster=dask, **there | more, **given)

    return make


def everything(epoch: Epoch) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state(epoch).items()}


def two_epochs(
    kind: Callable[..., Simulation], seed: int, sampler: str, outages=(), **changed
) -> Iterator[Epoch]:
    """The epoch that is being walked, after every step."""
    rng = np.random.default_rng(seed)
    simulation = small(rng, kind, **changed)
    plan, epoch = planner(sampler, 9, rng), Epoch(simulation, outages)
    for _ in range(2):
        for _ in epoch.walk(plan):
            yield epoch
        epoch = Epoch(simulation, epoch.outages, epoch.next_step)


@settings(max_examples=6)
@given(
    st.sampled_from(PLANS),
    st.integers(1, 7),
    st.sampled_from(["float32", "float64"]),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_it_is_the_simulation_to_the_bit(
    started, sampler, num_clients, dtype, cut, faults, seed
) -> None:
    often, kinds = faults / 10, (Simulation, remote(started))
    outages = lost_or_paused(num_clients, 14, np.random.default_rng(seed), 3 * often, often)
    same = {"num_clients": num_clients, "dtype": dtype, "cut": cut, "outages": outages}
    here, there = (two_epochs(kind, seed, sampler, **same) for kind in kinds)
    for one, other in zip(here, there, strict=True):
        assert everything(other) == everything(one)


def residual(rng: np.random.Generator) -> Network:
    return resnet(SHAPE, CLASSES, rng, (1, 1))


@pytest.mark.parametrize(("net", "cut"), [(every_layer, 7), (every_layer, 3), (residual, 5)])
def test_every_layer_runs_there(dask, rng: np.random.Generator, net, cut: int) -> None:
    """Also where what is at the cut lies in memory as convolutions lay it out."""
    x, y, part = setting(rng, SHAPE)
    given = {"net": net(rng), "cut": cut, "x": x, "y": y, "partition": part}
    here, there = (
        [everything(epoch) for epoch in two_epochs(kind, 1, "ugs", **given)]
        for kind in (Simulation, remote(dask))
    )
    assert there == here


def files_of(folder: Path, x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Every image in a file of its own, read only by who asks for it."""
    for i, image in enumerate(x):
        np.save(folder / f"{i}.npy", image)

    def images(indices: np.ndarray) -> np.ndarray:
        for i in indices.tolist():
            (folder / f"read {i} by {os.getpid()}").touch()
        return np.stack([np.load(folder / f"{i}.npy") for i in indices])

    return images


def test_no_image_leaves_its_host(dask, rng: np.random.Generator, tmp_path: Path) -> None:
    """The server has zeros, every image is read by one worker, and none comes back."""
    x, y, part = setting(rng)
    came = []

    class Watched(Remote):
        def arrived(self, answers):
            found = super().arrived(answers)
            came.extend(pickle.dumps(answer) for answer in found)
            return found

    def make(*, x: np.ndarray, **given) -> Simulation:
        return Watched(
            x=np.zeros_like(x), cluster=dask, workers=[*dask.nthreads()],
            images=files_of(tmp_path, x), **given,
        )  # fmt: skip

    given = {"x": x, "y": y, "partition": part}
    last = [[*two_epochs(kind, 1, "ugs", **given)][-1] for kind in (Simulation, make)]
    assert everything(last[1]) == everything(last[0])
    readers = [path.name.split()[1::2] for path in tmp_path.glob("read *")]
    assert sorted(int(i) for i, _ in readers) == list(range(len(x)))
    assert len({pid for _, pid in readers}) == WORKERS
    assert not [image for image in x for blob in came if image.tobytes() in blob]

    def held(dask_worker) -> dict[int, np.ndarray]:
        actors = dask_worker.state.actors.values()
        return {k: client.x for actor in actors for k, client in actor.clients.items()}

    on_workers = dask.run(held).values()
    for k, indices in enumerate(part.indices):
        (own,) = [clients[k] for clients in on_workers if k in clients]
        assert (own == x[indices]).all()


def dies_in(method: str, calls: int) -> None:
    """On a worker: a call of a method of its clients is its last."""
    left, whole = iter(range(calls - 1)), getattr(Client, method)

    def dying(self, message):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, message)

    setattr(Client, method, dying)


@pytest.mark.parametrize(
    ("method", "sampler"), [("receive", "ugs"), ("forward", "targets"), ("backward", "lds")]
)
def test_a_worker_killed_in_a_step_is_the_outage_of_its_clients(dask, method, sampler) -> None:
    """Its clients are planned without from then on, and nothing is used twice."""
    workers = sorted(dask.nthreads())
    dask.run(dies_in, method, 4, workers=[workers[1]])
    with pytest.warns(UserWarning, match=r"clients \[1, 4\] are gone, and planned without: OSErr"):
        there = [(everything(e), [*e.outages]) for e in two_epochs(remote(dask), 0, sampler)]
    outages = there[-1][1]
    start = outages[0].start
    assert outages == [Outage(k, start, within=True) for k in (1, 4)]
    assert there[start][1] == outages
    assert not start or there[start - 1][1] == []
    here = [everything(e) for e in two_epochs(Simulation, 0, sampler, outages)]
    assert [arrays for arrays, _ in there] == here


def test_a_worker_that_hangs_is_gone_after_the_time_limit(dask) -> None:
    workers = sorted(dask.nthreads())
    (pid,) = dask.run(os.getpid, workers=[workers[2]]).values()
    walked = two_epochs(remote(dask, time_limit=20.0), 0, "ugs")
    next(walked)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.warns(
            UserWarning, match=r"\[2\] are gone, .*: no answer within time_limit = 20 s"
        ):
            there = [everything(epoch) for epoch in walked]
    finally:
        os.kill(pid, signal.SIGCONT)
    here = two_epochs(Simulation, 0, "ugs", [Outage(2, 1, within=True)])
    assert there == [everything(epoch) for epoch in here][1:]


@pytest.mark.parametrize("error", [TimeoutError(), RuntimeError("ConnectionPool is closed")])
def test_without_the_scheduler_there_is_no_step_however_it_went(dask, error, monkeypatch) -> None:
    """The second is what Dask says when it has noticed, and closed, before the step did."""
    walked = two_epochs(remote(dask), 0, "ugs")
    simulation = next(walked).simulation

    async def lost(asked) -> list[Exception]:
        return [OSError() for _ in asked]

    async def identity() -> None:
        raise error

    monkeypatch.setattr(simulation, "_answers", lost)
    monkeypatch.setattr(dask.scheduler, "identity", identity, raising=False)
    with pytest.raises(ConnectionAbortedError, match="the scheduler does not answer"):
        next(walked)


@pytest.mark.filterwarnings("ignore:clients")
def test_without_a_client_there_is_no_step(dask) -> None:
    """Steps before stand, and nothing is drawn for this one."""
    walked, workers = two_epochs(remote(dask), 0, "ugs"), {*dask.nthreads()}
    epoch = next(walked)
    before = everything(epoch)
    for pid in dask.run(os.getpid).values():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(
        ConnectionAbortedError, match="no client with samples answers any more: OSError"
    ):
        list(walked)
    for name in before.keys() - {"client.generators", "walked", "planned_for", "planned_at"}:
        assert everything(epoch)[name] == before[name] or name == "next_step"
    while workers & dask.nthreads().keys():
        time.sleep(0.1)
