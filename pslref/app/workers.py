"""Where runs are run: processes on this machine, a Dask cluster, or any other executor."""

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from copy import deepcopy
from functools import cache, partial
from math import inf
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from pslref import check
from pslref.app.config import Config
from pslref.app.scenario import images, made_by
from pslref.split import Remote, Simulation

if TYPE_CHECKING:
    from distributed import Client

Submit = Callable[..., Future[Any]]  # a function and its arguments, to be called elsewhere

LONGEST_WAIT = 10  # seconds, for a scheduler
LONGEST_WAIT_FOR_WORKERS = 60
PATIENCE = 5  # seconds without enough workers, until it is said
WAITING = "waiting for workers of the scheduler: `dask worker {}` starts one"
NOT_STARTED = (
    "the processes ended as they started: each imports the script that starts them, which must be "
    "a file and do so under `if __name__ == '__main__':`"
)


@contextmanager
def processes(jobs: int) -> Iterator[Submit]:
    """`jobs` processes on this machine, each with one thread for its matrix products.

    One that dies takes no other along. What it was doing is tried once more, by another: somebody
    may have killed it. ValueError if none can start, as in a script that is not guarded.
    """
    check.integer("jobs", jobs, 1, 1024)
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"  # read by the processes when they start
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(1)  # such a process, still importing the script: see NOT_STARTED
    others, own, left = multiprocessing.active_children(), threading.local(), threading.Event()
    spawn = multiprocessing.get_context("spawn")

    def elsewhere(function: Callable[..., Any], *given: Any) -> Any:
        """Call the function in the process of this thread."""
        died = False
        while True:
            if not hasattr(own, "pool"):
                own.pool = ProcessPoolExecutor(1, spawn, _live_as_long_as_the_sweep)
            try:
                return own.pool.submit(function, *given).result()
            except BrokenExecutor:
                del own.pool
                if died or left.is_set():
                    raise
                died = True

    threads = ThreadPoolExecutor(jobs, initializer=_deaf_to_interrupts)

    def submit(function: Callable[..., Any], *given: Any) -> Future[Any]:
        return threads.submit(elsewhere, function, *given)

    try:
        if isinstance(submit(os.getpid).exception(), BrokenExecutor):
            raise ValueError(NOT_STARTED)
        yield submit
    finally:
        left.set()
        threads.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()).difference(others):
            process.kill()  # perhaps in the middle of its work


def _live_as_long_as_the_sweep() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


@contextmanager
def cluster(
    address: str, show: Callable[..., object] = lambda description: None
) -> Iterator[Submit]:
    """The workers of the Dask scheduler at this address, such as tcp://127.0.0.1:8786.

    `show(description="runs (workers: 2)")` is called every second, for a progress bar.
    """
    left = threading.Event()
    with _connected(address) as client:
        watch = threading.Thread(target=_watch, args=(client, address, show, left), daemon=True)
        watch.start()
        try:
            yield client.get_executor(pure=False).submit  # type: ignore[no-untyped-call]
        finally:
            left.set()
            watch.join(1)


@contextmanager
def _connected(address: str) -> Iterator["Client"]:
    """Reach the scheduler at this address, or say in one sentence that it does not answer."""
    check.installed("distributed", "--scheduler")
    from distributed import Client

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # the rows say it shorter
    try:
        with ThreadPoolExecutor(1) as pool:  # a notebook's own thread has a loop already
            pool.submit(asyncio.run, _reach(address)).result()
        client = Client(address, direct_to_workers=True)  # type: ignore[no-untyped-call]
    except Exception as error:  # of many kinds, as many as there are kinds of addresses
        why = f": {error!r}" if str(error) else f" within {LONGEST_WAIT} seconds"
        allowed = f"must be the address of a Dask scheduler that answers{why}"
        raise check.wrong("scheduler", address, allowed) from None
    with client:
        yield client


@contextmanager
def simulations(
    config: Config,
    remote: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    time_limit: float | None = None,
) -> Iterator[Callable[..., Simulation]]:
    """What makes the simulation of a run: its clients are here or, remote, on Dask's workers.

    `workers` is their number, by default of those that the scheduler at an address has, or else, of
    processes started here, one for each core or client. `time_limit` is as for `split.Remote`.
    """
    where = {"scheduler": scheduler, "workers": workers, "time_limit": time_limit}
    for name, value in where.items():
        if value is not None and not remote:
            raise check.wrong(name, value, "must be left out unless execution = 'remote'")
    if not remote:
        yield Simulation
        return
    limit = inf if time_limit is None else check.real("time_limit", time_limit, 0, low_open=True)
    number = None if workers is None else check.integer("workers", workers, 1)
    own = partial(images, config, made_by(config))
    with ExitStack() as stack:

        @cache  # for all runs that are made here
        def there(most: int) -> dict[str, Any]:
            least = number or (min(os.cpu_count() or 1, most) if scheduler is None else 1)
            local = nullcontext(scheduler) if scheduler is not None else _local_cluster(least)
            address = stack.enter_context(local)
            client = stack.enter_context(_connected(address))
            return {"cluster": client, "workers": _workers(client, address, least)[:number]}

        def start(*given: Any, **named: Any) -> Simulation:
            # What is wrong with the run is said before anything is started for it.
            most = len(Simulation(*given, **deepcopy(named) | {"execution": "pooled"}).clients)
            if number is not None and number > most:
                allowed = f"must be at most the number of clients, {most}"
                raise check.wrong("workers", number, allowed)
            return Remote(*given, **named, **there(most), images=own, time_limit=limit)

        yield start


def _workers(client: "Client", address: str, least: int) -> list[str]:
    """The addresses of the scheduler's workers, as soon as it has enough."""
    for seconds in (PATIENCE, LONGEST_WAIT_FOR_WORKERS):
        with suppress(TimeoutError):
            client.wait_for_workers(least, timeout=seconds)
            break
        if seconds == PATIENCE:
            warnings.warn(WAITING.format(address), stacklevel=2)
    there = sorted(client.nthreads())  # type: ignore[no-untyped-call]
    if len(there) < least:
        allowed = f"must have workers, {least} or more, not {len(there)}"
        raise check.wrong("scheduler", address, f"{allowed}: `dask worker {address}` starts one")
    return there


@contextmanager
def _local_cluster(number: int) -> Iterator[str]:
    """The address of a scheduler with so many processes on this machine."""
    check.installed("distributed", "--execution remote")
    from distributed import LocalCluster

    here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    of_workers = {"n_workers": number, "threads_per_worker": 1, "silence_logs": logging.CRITICAL}
    with ThreadPoolExecutor(1, initializer=_deaf_to_interrupts) as thread:
        started = thread.submit(LocalCluster, **here, **of_workers).result()
    with started:
        yield started.scheduler_address


def _watch(
    client: "Client", address: str, show: Callable[..., object], left: threading.Event
) -> None:
    without = 0
    with suppress(Exception):  # the scheduler is gone: the rows say that
        while not left.wait(1):
            count = len(client.nthreads())  # type: ignore[no-untyped-call]
            show(description=f"runs (workers: {count})")
            without = 0 if count else without + 1
            if without == PATIENCE:
                warnings.warn(WAITING.format(address), stacklevel=1)


async def _reach(address: str) -> None:
    """Try the address: a client would wait for ever for who listens and says nothing."""
    from distributed import Security
    from distributed.comm.core import connect

    async with asyncio.timeout(LONGEST_WAIT):
        options = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
        comm = await connect(address, **options)  # type: ignore[no-untyped-call]
        await comm.close()


def _deaf_to_interrupts() -> None:
    """What this thread starts never hears Ctrl-C; it reaches the sweep, which ends them."""
    if hasattr(signal, "pthread_sigmask"):  # on Windows they may hear it while they start
        resource_tracker.ensure_running()  # which, as it starts, would let this thread hear again
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
