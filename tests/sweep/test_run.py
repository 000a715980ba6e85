from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from pslref import runs, sweep
from pslref.config import Config
from pslref.data import load

GRID = {
    "partition": ["iid", "severe"],
    "clients": [5, 8],
    "sampler": ["centralized", "ugs"],
    "hidden": [8],
    "epochs": 1,
    "seeds": 2,
}


def one_thread() -> Executor:
    return ThreadPoolExecutor(1)


def test_a_run_is_what_compare_runs_and_is_made_once(tmp_path: Path) -> None:
    """Centralized heeds neither clients nor partition, to the bit."""
    rows = sweep.run(sweep.checked(GRID), tmp_path, one_thread)
    assert len(rows) == 2 + 2 * 2 * 2
    for partition in ("iid", "severe"):
        for clients in (5, 8):
            config = Config(
                partition=partition, clients=clients, hidden=(8,), epochs=1, sampler=("ugs",)
            )
            for sampler in ("centralized", "ugs"):
                (row,) = runs.run(config, load("digits"), sampler, 1).runs
                (found,) = [
                    r
                    for r in rows
                    if (r["sampler"], r["seed"]) == (sampler, 1)
                    and r["partition"] in (None, partition)
                    and r["clients"] in (None, clients)
                ]
                assert found.items() >= row.items()
