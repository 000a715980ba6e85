"""Many runs; each result is kept as it comes, so a sweep can be stopped and started again."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, as_completed
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pslref import check, data, files, versions
from pslref.app import workers
from pslref.app.config import Config
from pslref.app.grids import Row, labels, varying
from pslref.app.runs import run
from pslref.app.scenario import made_by, made_here, told
from pslref.app.tables import EPOCH, LARGEST, MEANS, RUN, summary
from pslref.data import Dataset

MOST_BYTES = 2**28  # of a run's file: a million epochs


def sweep(
    configs: Sequence[Config],
    out: Path,
    submit: workers.Submit,
    after_run: Callable[[], object] = lambda: None,
    figures: str = "png",
) -> list[Row]:
    """Do the runs that are not in `out` yet, and write the tables of all of them.

    Args:
        configs: what to run, each once, such as `grids.configs` returns.
        out: the folder. runs/*.json hold one run each, written as it finishes: what made it, what
            it is, its row, its epochs, and the steps of its first epoch. In the end sweep.csv (a
            row per run), epochs.csv, config.json and sweep.png are written, of these runs alone.
        submit: of any executor, such as those of `workers`: takes a function and what it is given.
        after_run: called after every run, for a progress bar.
        figures: png, pdf or svg.

    Returns:
        The rows of sweep.csv in the order of the configs: what a run is, the results, and `error`,
        a sentence if the run failed. A failed run leaves no file, so that it is tried again.

    Raises:
        ValueError: for a file of a run that is damaged, not this run's, or made by another
            version, and for a worker of another version.
    """
    check.one_of("figures", figures, files.FIGURES)
    names = ["config.json", "sweep.csv", "epochs.csv", f"sweep.{figures}"]
    files.check_outputs(("out", out, names), ("out", out / "runs", []))
    from pslref.app import pictures, plots  # here, since the workers draw nothing

    paths = {config: _path(out, config) for config in configs}
    outcomes = {config: _kept(config, path) for config, path in paths.items() if path.exists()}
    for _ in outcomes:
        after_run()
    left = [config for config in configs if config not in outcomes]
    asked = {submit(execute, config, made_by(config)): config for config in left}
    for future in as_completed(asked):
        config = asked[future]
        if error := failure(future):
            outcomes[config] = {"error": error, "row": {}, "epochs": [dict.fromkeys(EPOCH)]}
        else:
            outcomes[config] = future.result()
            whole = outcomes[config] | {"sha256": _digest(outcomes[config])}
            files.write_json(paths[config], whole)
        after_run()
    rows, epochs = [], []
    for config in configs:
        label, outcome = labels(config), outcomes[config]
        found = {name: outcome["row"].get(name) for name in RUN}
        rows.append(label | found | {"error": outcome.get("error")})
        epochs += [label | {name: epoch[name] for name in EPOCH} for epoch in outcome["epochs"]]
    files.write_json(out / "config.json", told(configs))
    files.write_csv(out / "sweep.csv", rows)
    files.write_csv(out / "epochs.csv", epochs)
    pictures.save(plots.sweep(summarized(rows), varying(configs)), out / f"sweep.{figures}")
    return rows


def summarized(rows: Sequence[Row]) -> list[Row]:
    """Over the seeds that finished, a row for each combination of the other fields."""
    return summary(rows, [name for name in labels(Config()) if name != "seed"], MEANS, LARGEST)


def failure(future: Future[Any]) -> str | None:
    """What went wrong with a call, in one sentence; a worker of another version ends the sweep."""
    if future.cancelled():
        return "the run was cancelled, or its cluster is gone"
    error = future.exception()
    if error is None:
        return None
    if isinstance(error, versions.Mixed):
        raise error
    if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":  # of Dask
        return "the worker process died"
    text = check.one_line(str(error))
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _path(out: Path, config: Config) -> Path:
    digest = _digest(labels(config))[:16]
    return out / "runs" / f"{config.sampler}-{config.seed}-{digest}.json"


def _kept(config: Config, path: Path) -> Row:
    """The outcome that a file holds, if it is whole and of this run."""
    text = files.content("run", path, MOST_BYTES)
    try:
        outcome: Row = json.loads(text)
        whole = outcome.pop("sha256") == _digest(outcome)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise ValueError(f"{path} is not as it was written: delete it to run it again")
    allowed = "go on with what made it, delete it to run it again, or sweep into another folder"
    versions.check_same(str(path), outcome.get("made_by"), allowed, made_by(config))
    asked = labels(config)
    check.same(f"{path} is of a run with", outcome.get("config"), asked, "must hold this one")
    return outcome


def execute(config: Config, wanted: Mapping[str, str]) -> Row:
    """What is kept of one run; a worker does this, if it is of the version that asks for it."""
    mine = made_here(config, wanted)
    named = config.dataset, config.data_dir, config.dtype, config.files
    found = run(config, _dataset(*named, mine.get("dataset")))
    return {
        "made_by": mine,
        "config": labels(config),
        "row": found.runs[0],
        "epochs": found.epochs,
        "steps": found.steps,
    }


@lru_cache(maxsize=1)
def _dataset(name: str, data_dir: str, dtype: str, files: str, sha256: str | None) -> Dataset:
    return data.load(name, data_dir, np.dtype(dtype), files)
