import json
import multiprocessing
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pslref import data, versions
from pslref.app import grids, sweep, workers
from pslref.app.config import Config
from pslref.app.runs import Run
from pslref.app.train import train
from tests.app.conftest import ANOTHER, GRID, OPTIONS, contents

WITHOUT = "dask is not installed: `.[cluster]`"
dask = pytest.importorskip("dask", reason=WITHOUT)
distributed = pytest.importorskip("distributed", reason=WITHOUT)
psutil = pytest.importorskip("psutil", reason=WITHOUT)
Client, LocalCluster = distributed.Client, distributed.LocalCluster

# Dask warns when its own folders took a second to make, as on a busy machine.
pytestmark = pytest.mark.filterwarnings("ignore:Creating scratch directories")

ROOT = Path(__file__).parents[2]
DIES = "__import__('os')._exit(1)"  # taken by `eval`, which a worker has without this file


def outcomes(items: list[str], submit) -> dict[str, object]:
    asked = {item: submit(eval, item) for item in items}
    return {item: sweep.failure(future) or future.result() for item, future in asked.items()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_call_that_kills_its_worker_fails_alone(jobs: int) -> None:
    with workers.processes(jobs) as submit:
        found = outcomes(["1 / 0", DIES, "2 + 2"], submit)
    assert found == {
        "1 / 0": "ZeroDivisionError: division by zero",
        DIES: "the worker process died",
        "2 + 2": 4,
    }


def test_leaving_early_ends_the_processes_in_the_middle_of_their_work() -> None:
    def leave(submit: workers.Submit) -> None:
        submit(eval, "__import__('time').sleep(100)")
        submit(eval, "1").result()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), workers.processes(2) as submit:
        leave(submit)
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

    with workers.processes(2) as submit:
        rows = sweep.sweep(grids.configs(GRID), tmp_path, submit, kill_one)
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

    with workers.cluster(cluster.scheduler_address) as submit:
        rows = sweep.sweep(grids.configs(GRID), tmp_path, submit, kill_one)
    assert killed
    assert [row["error"] for row in rows] == [None] * 5
    assert contents(tmp_path) == contents(reference)


def test_a_call_that_kills_its_dask_workers_fails_alone(cluster: LocalCluster) -> None:
    with workers.cluster(cluster.scheduler_address) as submit:
        assert outcomes([DIES], submit) == {DIES: "the worker process died"}
        assert outcomes(["2 + 2"], submit) == {"2 + 2": 4}


def test_a_dask_worker_of_another_version_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    again = "from importlib import reload; from pslref import versions; reload(versions)"
    with Client(cluster) as client, workers.cluster(cluster.scheduler_address) as submit:
        client.wait_for_workers(2)  # the test before has killed both
        client.run(exec, ANOTHER)
        try:
            with pytest.raises(
                ValueError, match=r"worker on .* is of numpy = '.*, not numpy = '1.0'"
            ):
                sweep.sweep(grids.configs(GRID), tmp_path, submit)
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
        workers.cluster(empty.scheduler_address, lambda **what: shown.append(what)) as submit,
    ):
        found = pool.submit(outcomes, ["2 + 2"], submit)
        told = f"waiting for workers of the scheduler: `dask worker {empty.scheduler_address}`"
        assert sentences.get(timeout=30).startswith(told)
        assert shown[0] == {"description": "runs (workers: 0)"}
        empty.scale(1)
        assert found.result(timeout=60) == {"2 + 2": 4}


UNGUARDED = """
from pathlib import Path
from pslref.app import grids, sweep, workers

with workers.processes(2) as submit:
    sweep.sweep(grids.configs({"epochs": 1, "seeds": 2}), Path("out"), submit)
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
    with workers.processes(1) as submit:
        found = outcomes([THREADS, DEAF, IGNORED], submit)
    assert found == {THREADS: "1", DEAF: masks, IGNORED: True}


def test_the_sentence_of_a_run_that_failed_is_one_line_with_the_names_as_they_are() -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(eval, "int('two  spaces\\n')")
    assert sweep.failure(future) == "invalid literal for int() with base 10: 'two  spaces\\n'"


def test_a_dask_worker_computes_on_one_thread(cluster: LocalCluster) -> None:
    with workers.cluster(cluster.scheduler_address) as submit:
        assert outcomes([THREADS], submit) == {THREADS: "1"}


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
            pytest.raises(ValueError, match=r"that answers within 0.1 seconds$"),
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
    sweep.sweep(grids.configs(GRID), tmp_path, ThreadPoolExecutor(1).submit)
    assert contents(tmp_path).items() >= contents(reference).items()


# --- clients on the workers

ONE = Config(
    clients=6, epochs=2, hidden=(4,), sampler="targets", momentum=0.9, batch_size=128,
    execution="clients",
)  # fmt: skip


def left_after(steps: int):
    asked = iter(range(steps - 1))
    return lambda: next(asked, None) is None


def remotely(cluster: LocalCluster):
    return workers.simulations(ONE, True, cluster.scheduler_address)


def test_clients_on_workers_and_here_go_on_from_each_others_checkpoint(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    """To the byte."""
    one, other, whole = tmp_path / "one", tmp_path / "other", tmp_path / "whole"
    with remotely(cluster) as kind:
        train(ONE, checkpoint=one, stop=left_after(15), kind=kind)
        train(ONE, checkpoint=other, stop=left_after(15))
        assert contents(one) == contents(other)
        train(ONE, checkpoint=one, resume=True, out=one)
        train(ONE, checkpoint=other, resume=True, out=other, kind=kind)
    train(ONE, checkpoint=whole, out=whole)
    assert contents(one) == contents(other) == contents(whole)


@pytest.mark.filterwarnings("ignore:clients")
def test_clients_that_went_with_a_worker_are_back_when_the_run_is_taken_up(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    with Client(cluster) as client, remotely(cluster) as kind:
        pids = client.run(os.getpid)
        address = min(pids)

        def kill(run: Run, epochs_done: float) -> None:
            if run.num_steps == 2:
                os.kill(pids[address], signal.SIGKILL)

        left = train(ONE, checkpoint=tmp_path, stop=left_after(5), after_step=kill, kind=kind)
    assert left.epoch.record().num_aborted == 1
    assert [(o.client, o.start) for o in left.outages] == [(k, 2) for k in (0, 2, 4)]
    found = train(ONE, checkpoint=tmp_path, resume=True)
    expected = Run(ONE, data.load("digits"))
    expected.outages.extend(replace(outage, end=5) for outage in left.outages)
    list(expected.steps())
    for name, array in expected.state().items():
        assert array.tobytes() == found.state()[name].tobytes(), name
    assert expected.epochs["num_unused"][0] == 0


def test_a_worker_of_another_version_holds_no_clients(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = versions.MADE_BY | {"numpy": "1.0"}
    monkeypatch.setattr(workers, "made_by", lambda config: other)
    said = r"worker on .* is of numpy = '1.0', not num"
    with remotely(cluster) as kind, pytest.raises(ValueError, match=said):
        train(ONE, kind=kind)


def test_workers_that_do_not_come_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 0.1)
    monkeypatch.setattr(workers, "LONGEST_WAIT_FOR_WORKERS", 0.2)
    there_are = r"scheduler = '.*': must have workers, 2 or more, not 0: `dask worker tcp://.*` sta"
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        pytest.warns(UserWarning, match=r"waiting for workers of the scheduler: `dask worker tcp"),
        pytest.raises(ValueError, match=there_are),
        workers.simulations(ONE, True, empty.scheduler_address, workers=2) as kind,
    ):
        train(ONE, kind=kind)


@pytest.mark.parametrize(
    ("changed", "number", "sentence"),
    [
        ({"clients": 4}, 2, r"clients = 4: must be 5 or more, if severe"),
        ({"cut": 9}, 2, r"cut = 9: must be a whole number from 1 to 3"),
        ({}, 7, r"workers = 7: must be at most the number of clients, 6"),
        ({"sampler": "centralized"}, 2, r"workers = 2: must be at most the number of clients, 1"),
    ],
)
def test_nothing_is_started_for_what_cannot_run(
    monkeypatch: pytest.MonkeyPatch, changed: dict, number: int, sentence: str
) -> None:
    monkeypatch.delattr(workers, "_local_cluster")
    config = replace(ONE, **changed)
    with (
        pytest.raises(ValueError, match=sentence),
        workers.simulations(config, True, workers=number) as kind,
    ):
        train(config, kind=kind)


def test_processes_are_started_for_the_clients(pslref, tmp_path: Path) -> None:
    options = ["train", "--clients", "5", "--epochs", "1", "--hidden", "4", "--json"]
    here = pslref(*options, "--execution", "clients", "--out", str(tmp_path / "here"))
    assert here[0] == 0
    more = ["--execution", "remote", "--workers", "2", "--time-limit", "200"]
    assert pslref(*options, *more, "--out", str(tmp_path / "there")) == here
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_ctrl_c_leaves_the_clients_on_the_processes_to_the_end_of_the_step(tmp_path: Path) -> None:
    """While these start, and later; the run then ends as one without a stop, to the byte."""
    words = ["--clients", "5", "--epochs", "2", "--hidden", "4", "--checkpoint", "run", "--resume"]
    words += ["--every", "1", "--execution", "remote", "--workers", "2", "--out", "there"]
    command = [sys.executable, str(ROOT / "cli.py"), "train", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    for trained in (False, True):
        training = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes)
        if trained:
            assert training.stdout.readline().startswith("epoch 0")
        while len(psutil.Process(training.pid).children()) < 2:
            time.sleep(0.01)
        os.killpg(training.pid, signal.SIGINT)
        said = training.communicate(timeout=60)[1]
        assert said == f"pslref: SIGINT: stopped; to go on: {shlex.join(command)}\n"
        assert training.returncode == 130
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    config = Config(clients=5, epochs=2, hidden=(4,), execution="clients")
    train(config, checkpoint=tmp_path / "run here", out=tmp_path / "here")
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert contents(tmp_path / "run") == contents(tmp_path / "run here")


def test_without_the_scheduler_training_ends_and_the_checkpoint_stands(tmp_path: Path) -> None:
    known, checkpoint = tmp_path / "scheduler.json", tmp_path / "run"
    at = ["--scheduler-file", str(known), "--no-dashboard"]
    started = []

    def start(*words: str, **more) -> subprocess.Popen:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen([sys.executable, *words], cwd=ROOT, **quiet | more))
        return started[-1]

    def wait_for(path: Path) -> None:
        while not path.exists():
            assert started[-1].poll() is None, started[-1].communicate()
            time.sleep(0.1)

    try:
        scheduler = start(
            *("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *at)
        )
        wait_for(known)
        worker = ["-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1", *at]
        start(*worker)
        address = json.loads(known.read_text())["address"]
        options = ["--clients", "5", "--epochs", "100000", "--hidden", "4", "--every", "1"]
        options += ["--execution", "remote", "--scheduler", address, "--checkpoint", checkpoint]
        training = start("cli.py", "train", *map(str, options), stderr=subprocess.PIPE, text=True)
        wait_for(checkpoint / "checkpoint.npz")
        scheduler.kill()
        said = training.communicate()[1]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert said.startswith("pslref: the scheduler does not answer any more; to go on: ")
    assert said.endswith(f" --checkpoint {checkpoint}\n")
    assert " train --resume --clients 5 " in said
    assert training.returncode == 2
    config = Config(clients=5, epochs=100000, hidden=(4,), execution="clients")
    before = contents(checkpoint)
    assert train(config, checkpoint=checkpoint, resume=True, stop=lambda: True).num_steps > 1
    assert contents(checkpoint) != before
