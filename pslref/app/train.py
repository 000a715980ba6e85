"""One run that can be stopped between any two steps, and taken up again."""

import os
from collections.abc import Callable
from pathlib import Path

from pslref import check, files
from pslref.app import checkpoints
from pslref.app.compare import TABLES, label
from pslref.app.config import Config
from pslref.app.runs import Run
from pslref.app.scenario import dataset_of, told
from pslref.app.tables import Results, write
from pslref.split import Simulation


def train(
    config: Config,
    *,
    checkpoint: Path | None = None,
    every: int | None = None,
    resume: bool = False,
    out: Path | None = None,
    after_step: Callable[[Run, float], object] = lambda run, epochs_done: None,
    stop: Callable[[], bool] = lambda: False,
    kind: Callable[..., Simulation] = Simulation,
) -> Run:
    """Do one run; with checkpoints it can be ended and taken up again.

    What it does is to the bit what `compare` does for its config, in one piece or in many.

    Args:
        config: what to run.
        checkpoint: a folder for checkpoint.npz, written at the end and after every epoch.
        every: write it after every so many steps instead.
        resume: go on from the checkpoint if there is one; without it, an existing one is an error.
        out: a folder for results.csv, epochs.csv, steps.csv, config.json and, of the trained whole,
            weights.npz, with running statistics; written at the end.
        after_step: called after every step with the run and the epochs done, such as 1.25.
        stop: asked after every step; if true, the checkpoint is written and the run is left.
        kind: makes the simulation, as for `Run`.

    Returns:
        The run; `finished`, unless it was left.

    Raises:
        ValueError: also for a checkpoint of another config, and one that is damaged; nothing is
            overwritten.
        Diverged: if a loss stops being finite; the last checkpoint is that of an earlier step.
    """
    if every is not None:
        check.integer("every", every, 1)
    path = None if checkpoint is None else checkpoint / checkpoints.NAME
    if path is None and (resume or every is not None):
        raise check.wrong("checkpoint", path, "must be a folder, if every or resume is given")
    if path is not None:
        _is_to_go_on(config, path, resume)
    files.check_outputs(
        ("out", out, [*TABLES, "weights.npz"]), ("checkpoint", checkpoint, [checkpoints.NAME])
    )
    dataset = dataset_of(config)
    run = Run(config, dataset, kind)
    with files.held(checkpoint, "checkpoint"):
        if path is not None and _is_to_go_on(config, path, resume):
            checkpoints.resume(path, run)  # looked at again: nobody else can write one now
        for epochs_done in run.steps():
            stopped = stop()
            due = epochs_done.is_integer() if every is None else run.num_steps % every == 0
            if path is not None and (due or stopped or run.finished):
                checkpoints.write(path, run)
            after_step(run, epochs_done)
            if stopped:
                break
    if out is not None and run.finished:
        write(out, told([config]), results_of(run))
        net = run.simulation.net
        files.write_npz(out / "weights.npz", net.parameters() | net.statistics())
    return run


def results_of(run: Run) -> Results:
    """The tables of what a run has done, with what says which run it is."""
    results = Results()
    results.add(label(run.config), run.results())
    return results


def _is_to_go_on(config: Config, path: Path, resume: bool) -> bool:
    """Whether there is a checkpoint at `path`; it must be one to go on from."""
    if not os.path.lexists(path):
        return False
    if not resume:
        allowed = f"must be a folder without {path.name}, or go on from there with resume"
        raise check.wrong("checkpoint", str(path.parent), allowed)
    checkpoints.check_config(path, config)
    return True
