import multiprocessing
import os
import queue
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

from pslref.app import grids, sweep, workers
from tests.app.conftest import ANOTHER, GRID, OPTIONS, contents

# Dask warns when its own folders took a second to make, as on a busy machine.
pytestmark = pytest.mark.filterwarnings("ignore:Creating scratch directories")

ROOT = Path(__file__).parents[2]
DIES = "__import__('os')._exit(1)"  # taken by `eval`, which a worker has without this file


def outcomes(items: list[str], executor) -> dict[str, object]:
    return {
        item: workers.failure(future) or future.result()
        for item, future in workers.finished(eval, items, executor)
    }


def test_a_call_that_kills_its_worker_fails_alone() -> None:
    with workers.processes(1) as executor:
        found = outcomes(["1 / 0", DIES, "2 + 2"], executor)
    assert found == {
        "1 / 0": "ZeroDivisionError: division by zero",
        DIES: "the worker process died",
        "2 + 2": 4,
    }


def test_a_pool_that_breaks_while_it_is_filled_costs_nothing() -> None:
    whole = []

    class BreaksOnce(ThreadPoolExecutor):
        def submit(self, function, item):
            if item == "2" and not whole:
                whole.append(True)
                raise BrokenExecutor
            return super().submit(function, item)

    assert outcomes(["1", "2", "3"], lambda: BreaksOnce(1)) == {"1": 1, "2": 2, "3": 3}


def test_leaving_early_ends_the_processes_in_the_middle_of_their_work() -> None:
    def leave(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), workers.processes(2) as executor:
        list(map(leave, workers.finished(eval, ["1", "__import__('time').sleep(100)"], executor)))
    for process in multiprocessing.active_children():
        process.join(50)
        assert not process.is_alive()


def test_a_worker_that_is_killed_costs_no_result(tmp_path: Path, reference: Path) -> None:
    """And two processes find what one finds, to the bit."""
    killed = []

    def kill_one() -> None:
        if not killed:
            child = multiprocessing.active_children()[0]
            child.kill()
            killed.append(child)

    with workers.processes(2) as executor:
        rows = sweep.sweep(grids.configs(GRID), tmp_path, executor, kill_one)
    assert [row["error"] for row in rows] == [None] * 5
    assert contents(tmp_path) == contents(reference)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with (
        pytest.MonkeyPatch.context() as environment,
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
    ):
        environment.delenv("OPENBLAS_NUM_THREADS", raising=False)
        with LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster:
            yield cluster


def test_a_dask_worker_that_is_killed_costs_no_result(
    cluster: LocalCluster, tmp_path: Path, reference: Path
) -> None:
    """And a cluster finds what one process finds, to the bit."""
    killed = []

    def kill_one() -> None:
        if not killed:
            pid = cluster.workers[0].pid
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    with workers.cluster(cluster.scheduler_address) as executor:
        rows = sweep.sweep(grids.configs(GRID), tmp_path, executor, kill_one)
    assert killed
    assert [row["error"] for row in rows] == [None] * 5
    assert contents(tmp_path) == contents(reference)


def test_a_call_that_kills_its_dask_workers_fails_alone(cluster: LocalCluster) -> None:
    with workers.cluster(cluster.scheduler_address) as executor:
        assert outcomes([DIES], executor) == {DIES: "the worker process died"}
        assert outcomes(["2 + 2"], executor) == {"2 + 2": 4}


def test_a_dask_worker_of_another_version_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    again = "from importlib import reload; from pslref import versions; reload(versions)"
    with Client(cluster) as client, workers.cluster(cluster.scheduler_address) as executor:
        client.wait_for_workers(2)  # the test before has killed both
        client.run(exec, ANOTHER)
        try:
            with pytest.raises(
                ValueError, match=r"worker on .* is of numpy = '.*, not numpy = '1.0'"
            ):
                sweep.sweep(grids.configs(GRID), tmp_path, executor)
        finally:
            client.run(exec, again)
    assert contents(tmp_path) == {}


def test_a_scheduler_without_workers_is_waited_for_visibly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And goes on as soon as it has one."""
    shown, sentences = [], queue.SimpleQueue()
    monkeypatch.setattr(workers, "PATIENCE", 1)
    monkeypatch.setattr(warnings, "warn", lambda text, **_: sentences.put(text))
    with (
        ThreadPoolExecutor(1) as pool,
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        workers.cluster(empty.scheduler_address, lambda **what: shown.append(what)) as executor,
    ):
        found = pool.submit(outcomes, ["2 + 2"], executor)
        told = f"waiting for workers of the scheduler: `dask worker {empty.scheduler_address}`"
        assert sentences.get(timeout=30).startswith(told)
        assert shown[0] == {"description": "runs (workers: 0)"}
        empty.scale(1)
        assert found.result(timeout=60) == {"2 + 2": 4}


UNGUARDED = """
from pathlib import Path
from pslref.app import grids, sweep, workers

with workers.processes(2) as executor:
    sweep.sweep(grids.configs({"epochs": 1, "seeds": 2}), Path("out"), executor)
"""


def test_a_script_that_is_not_guarded_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("Traceback")) == (1, "", 1)
    assert done.stderr.splitlines()[-1] == f"ValueError: {workers.NOT_STARTED}"
    assert not list(tmp_path.glob("out/*"))


THREADS = "__import__('os').environ['OPENBLAS_NUM_THREADS']"
DEAF = "__import__('signal').SIGINT in __import__('signal').pthread_sigmask(0, [])"
IGNORED = "__import__('signal').getsignal(2) == __import__('signal').SIG_IGN"


@pytest.mark.parametrize("masks", [True, False])
def test_a_process_computes_on_one_thread_and_leaves_ctrl_c_to_the_sweep(
    monkeypatch: pytest.MonkeyPatch, masks: bool
) -> None:
    """Also on Windows, where no signal can be masked."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if not masks:
        monkeypatch.delattr(signal, "pthread_sigmask")
    with workers.processes(1) as executor:
        found = outcomes([THREADS, DEAF, IGNORED], executor)
    assert found == {THREADS: "1", DEAF: masks, IGNORED: True}


def test_the_sentence_of_a_run_that_failed_is_one_line_with_the_names_as_they_are() -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(eval, "int('two  spaces\\n')")
    assert workers.failure(future) == "invalid literal for int() with base 10: 'two  spaces\\n'"


def test_a_dask_worker_computes_on_one_thread(cluster: LocalCluster) -> None:
    with workers.cluster(cluster.scheduler_address) as executor:
        assert outcomes([THREADS], executor) == {THREADS: "1"}


@pytest.mark.parametrize("address", ["a b", "nonsense://here:1", "tls://127.0.0.1:1"])
def test_an_address_of_no_scheduler_is_one_sentence(address: str) -> None:
    with (
        pytest.raises(ValueError, match=f"scheduler = '{address}': must be the address of a Dask"),
        workers.cluster(address),
    ):
        pass


def test_who_listens_and_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LONGEST_WAIT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(ValueError, match=r"that answers soon: TimeoutError\(\)$"),
            workers.cluster(address),
        ):
            pass


def test_without_dask_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ValueError, match="--scheduler needs distributed: pip install distributed"),
        workers.cluster("tcp://127.0.0.1:1"),
    ):
        pass


def started(out: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "sweep", *OPTIONS, "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def at_least(out: Path, finished: int, process: subprocess.Popen[str]) -> None:
    while len(list(out.glob("runs/[!.]*"))) < finished:
        assert process.poll() is None
        time.sleep(0.01)


def test_ctrl_c_and_sigkill_leave_no_process_and_no_half_of_a_run(
    tmp_path: Path, reference: Path
) -> None:
    """Ctrl-C reaches the sweep and its workers; SIGKILL the sweep alone.

    The pipes are at their end only when every process has left them.
    """
    long = ("--seeds", "500")  # so that neither is done when it is stopped
    first = started(tmp_path, "--jobs", "2", *long)
    at_least(tmp_path, 1, first)
    os.killpg(first.pid, signal.SIGINT)
    assert first.communicate(timeout=60) == ("", "pslref: interrupted\n")
    assert first.returncode == 130
    second = started(tmp_path, *long)
    at_least(tmp_path, 1 + len(list(tmp_path.glob("runs/[!.]*"))), second)
    second.kill()
    second.communicate(timeout=60)
    assert not (tmp_path / "sweep.csv").exists()
    sweep.sweep(grids.configs(GRID), tmp_path, lambda: ThreadPoolExecutor(1))
    assert contents(tmp_path).items() >= contents(reference).items()
