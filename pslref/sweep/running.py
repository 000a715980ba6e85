"""Run a grid; each result is kept as it comes, so a sweep can be stopped and started again."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import lru_cache, partial
from pathlib import Path
from platform import node

import numpy as np

from pslref import check, data, files, results, runs, versions
from pslref.config import Config
from pslref.data import Dataset
from pslref.sweep import workers
from pslref.sweep.grid import COLUMNS, Grid, Row, columns, configs

RESULTS, EPOCH = results.TABLES["runs"], results.TABLES["epochs"]
MOST_STEPS = 60_000  # of an epoch: one sample of Fashion-MNIST each
MOST_BYTES = 2**16, 2**8  # of a run's file, and more for each of its epochs and steps


def run(
    grid: Grid,
    out: Path,
    executor: Callable[[], Executor],
    after_run: Callable[[], object] = lambda: None,
    figures: str = "png",
) -> list[Row]:
    """Run what of a grid is not in `out` yet, and write the tables of all of it.

    Args:
        grid: from `checked`.
        out: the folder. runs/*.json hold one run each, written as it finishes: what made it, its
            config, its row, its epochs, and the steps of its first epoch. In the end sweep.csv (a
            row per run), epochs.csv, config.json and sweep.png are written, of this grid's runs
            alone.
        executor: makes an executor; called again when a worker died and took the others along.
        after_run: called after every run, for a progress bar.
        figures: png, pdf or svg.

    Returns:
        The rows of sweep.csv in the grid's order: the fields, the results, and `error`, a
        sentence if the run failed. A failed run leaves no file, so that it is tried again.

    Raises:
        ValueError: for a file of a run that is damaged, not this run's, or made by another
            version, and for a worker of another version.
    """
    check.one_of("figures", figures, files.FIGURES)
    names = ["config.json", "sweep.csv", "epochs.csv", f"sweep.{figures}"]
    files.check_outputs(("out", out, names), ("out", out / "runs", []))
    from pslref import plots  # here, since the workers draw nothing
    from pslref.sweep.picture import picture

    chosen = configs(grid)
    paths = {config: _path(out, config) for config in chosen}
    outcomes = {config: _kept(config, path) for config, path in paths.items() if path.exists()}
    for _ in outcomes:
        after_run()
    left = [config for config in chosen if config not in outcomes]
    work = partial(execute, made_by=versions.MADE_BY)
    for config, future in workers.finished(work, left, executor):
        if error := workers.failure(future):
            outcomes[config] = {"error": error, "row": {}, "epochs": [dict.fromkeys(EPOCH)]}
        else:
            outcomes[config] = future.result()
            whole = outcomes[config] | {"sha256": _digest(outcomes[config])}
            files.write_json(paths[config], whole)
        after_run()
    rows, epochs = [], []
    for config in chosen:
        label, outcome = columns(config), outcomes[config]
        found = {name: outcome["row"].get(name) for name in RESULTS}
        rows.append(label | found | {"error": outcome.get("error")})
        epochs += [label | {name: epoch[name] for name in EPOCH} for epoch in outcome["epochs"]]
    files.write_json(out / "config.json", grid | {"made_by": versions.MADE_BY})
    files.write_csv(out / "sweep.csv", rows)
    files.write_csv(out / "epochs.csv", epochs)
    plots.save(picture(summary(rows), varying(rows)), out / f"sweep.{figures}")
    return rows


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _path(out: Path, config: Config) -> Path:
    digest = _digest(columns(config))[:16]
    return out / "runs" / f"{config.sampler[0]}-{config.seed}-{digest}.json"


def _kept(config: Config, path: Path) -> Row:
    """The outcome that a file holds, if it is whole and of this run."""
    base, each = MOST_BYTES
    text = files.content("run", path, base + each * (config.epochs + MOST_STEPS))
    try:
        outcome: Row = json.loads(text)
        whole = outcome.pop("sha256") == _digest(outcome)
        whole = whole and "error" not in outcome  # a run that failed leaves no file
        tables = results.Results([outcome["row"]], outcome["epochs"], outcome["steps"])
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise ValueError(f"{path} is not as it was written: delete it to run it again")
    allowed = "go on with what made it, delete it to run it again, or sweep into another folder"
    versions.check_same(str(path), outcome.get("made_by"), allowed)
    asked = columns(config)
    check.same(f"{path} is of a run with", outcome.get("config"), asked, "must hold this one")
    try:
        results.check_possible(config, tables)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(
            f"{path} holds what its run cannot have found: delete it to run it again ({error})"
        ) from None
    return outcome


def execute(config: Config, made_by: Mapping[str, str]) -> Row:
    """What is kept of one run; a worker does this, if it is of the version that asks for it."""
    allowed = "must be the same on all machines"
    versions.check_same(f"the sweep that asked the worker on {node()}", made_by, allowed)
    dataset = _dataset(config.dataset, config.data_dir, config.dtype, config.files)
    found = runs.run(config, dataset, config.sampler[0], config.seed)
    return {
        "made_by": versions.MADE_BY,
        "config": columns(config),
        "row": found.runs[0],
        "epochs": found.epochs,
        "steps": found.steps,
    }


@lru_cache(maxsize=1)
def _dataset(name: str, data_dir: str, dtype: str, files: str) -> Dataset:
    return data.load(name, data_dir, np.dtype(dtype), files)


def summary(rows: Sequence[Row]) -> list[Row]:
    """Means over the seeds that finished, a row for each combination of the other fields."""
    names = [name for name in COLUMNS if name != "seed"]
    means = []
    for group in results.grouped(rows, *names):
        done = [row for row in group if row["error"] is None]
        means.append(
            {name: group[0][name] for name in names}
            | {"seeds": len(done), "failed": len(group) - len(done)}
            | {name: results.mean(done, name) for name in RESULTS}
            | {"std": results.spread(done, "test_accuracy")}
            | {"max_deviation": max((row["max_deviation"] for row in done), default=None)}
        )
    return means


def varying(rows: Sequence[Row]) -> list[str]:
    """The fields besides sampler and seed of which there is more than one value."""
    names = [name for name in COLUMNS if name not in ("sampler", "seed")]
    return [name for name in names if len({row[name] for row in rows} - {None}) > 1]
