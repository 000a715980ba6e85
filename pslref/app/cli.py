"""The command line: parses, calls one function, prints. No logic lives here.

What takes long to import is imported when the options are found to be right.
"""

import sys
from typing import Annotated, Any

import typer

from pslref.app import cli_plan, grids, printed, terminal
from pslref.app.config import Config, time_unit
from pslref.app.options import (
    MODEL,
    SCHEDULE,
    Figures,
    Given,
    Json,
    Out,
    PathOption,
    command,
    option,
    path,
)
from pslref.oracle.cli import app as oracle_app

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Parallel split learning with global sampling: the NumPy reference.",
)
data_app = typer.Typer(invoke_without_command=True, help="Download data sets.")
app.add_typer(data_app, name="data")
app.add_typer(oracle_app, name="oracle")
app.add_typer(cli_plan.app)


@app.callback()
@data_app.callback()
def without_command(
    context: typer.Context,
    version: Annotated[bool, option("Print what the results are made by.", "--version")] = False,
) -> None:
    """Without a command, print the help."""
    if version:
        terminal.print_versions()
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@command(app, *SCHEDULE, *MODEL, "seeds", "faults", several=("sampler", "faults"))
def compare(
    given: Given,
    target: Annotated[
        float | None,
        option("Accuracy, 0 to 1, to say the time and the megabytes to it.", of=float),
    ] = None,
    json_: Json = False,
    out: Out = None,
    figures: Figures = "png",
) -> None:
    """Train the same network with every sampler and compare accuracy and batch deviation.

    Example: pslref compare --partition severe --clients 64 --seeds 5 --out results
    """
    # Seed by seed: what is written meanwhile has all samplers.
    configs = sorted(grids.configs(given), key=lambda config: config.seed)
    from pslref.app import compare, scenario

    with terminal.progress("training", sum(config.epochs for config in configs)) as advance:
        results = compare.compare(
            configs, target=target, out=out, figures=figures, after_epoch=advance
        )
    if json_:
        terminal.print_json(scenario.told(configs), results=results.runs)
        return
    rows = compare.summarized(results)
    loses_clients = compare.loses_clients(configs)
    terminal.print_table(printed.trained(row, ["faults"] if loses_clients else []) for row in rows)
    print(printed.MEASURED)
    empty = max(row["empty_clients"] for row in rows)
    if empty:
        print(f"Up to {empty:.0f} clients hold no samples.")
    print(printed.PER_EPOCH.format(time_unit(str(grids.described(configs)["links"]))))
    if loses_clients:
        print("Unreachable: samples, per epoch, that lost clients did not get to use.")
    else:
        print(compare.verdict(rows))
    if target is not None:
        print(compare.reached(results.runs))
    picture = compare.picture_name(configs, figures)
    terminal.print_written(out, f"{picture}, results.tex, {', '.join(compare.TABLES)}")


@command(app, *SCHEDULE, *MODEL, "faults")
def train(
    given: Given,
    checkpoint: Annotated[
        PathOption | None,
        option("Folder for a checkpoint, written at the end and after every epoch.", of=path),
    ] = None,
    every: Annotated[
        int | None, option("Write it after every so many steps instead.", of=int)
    ] = None,
    resume: Annotated[
        bool, option("Go on from the checkpoint, if there is one.", "--resume")
    ] = False,
    json_: Json = False,
    out: Annotated[
        PathOption | None,
        option("Folder for CSV, JSON and, as weights.npz, the trained weights.", of=path),
    ] = None,
    scheduler: Annotated[
        str | None,
        option("Address of a Dask scheduler, for --execution remote; else processes are started."),
    ] = None,
    workers: Annotated[
        int | None,
        option("Its workers, or the processes.  [default: all, or one a core]", of=int),
    ] = None,
    time_limit: Annotated[
        float | None,
        option("Seconds until a worker that does not answer is gone.  [default: none]", of=float),
    ] = None,
) -> None:
    """Train once, as `compare` does for one sampler and seed; stop and go on with checkpoints.

    Ctrl-C and SIGTERM finish the step, write the checkpoint, and say how to go on. A run that goes
    on ends as it would have without the stop, to the bit. All options must be the same then, but
    --data-dir may differ and, without --faults, --epochs may be raised.

    Example: pslref train --sampler lds --clients 16 --checkpoint run --out results
    """
    remote = given.get("execution") == "remote"  # what is run is the same
    config = Config(**given | ({"execution": "clients"} if remote else {}))
    from pslref.app import compare, scenario, train
    from pslref.app.workers import simulations

    place = simulations(config, remote, scheduler, workers, time_limit)
    bar = terminal.progress("training", config.epochs)
    with bar as advance, terminal.stop_signals() as received, place as kind:

        def show(run: Any, epochs_done: float) -> None:
            advance(completed=epochs_done)
            if epochs_done.is_integer() and not json_:
                print(printed.epoch(run.results().epochs[-1]), flush=True)

        try:
            run = train.train(
                config,
                checkpoint=checkpoint,
                every=every,
                resume=resume,
                out=out,
                after_step=show,
                stop=lambda: bool(received),
                kind=kind,
            )
        except ConnectionAbortedError as error:  # of clients elsewhere
            raise terminal.Stopped(str(error), checkpoint is not None, resume) from None
    if not run.finished:
        raise terminal.Stopped(received[0], checkpoint is not None, resume)
    results = train.results_of(run)
    if json_:
        told = scenario.told([config])
        terminal.print_json(told, results=results.runs, epochs=results.epochs)
        return
    terminal.print_table(map(printed.trained, compare.summarized(results)))
    print(printed.MEASURED)
    terminal.print_written(out, f"weights.npz, {', '.join(compare.TABLES)}")


@command(
    app, *SCHEDULE, *MODEL, "seeds", "faults", several=set(grids.DEFAULTS).difference(grids.ONCE)
)
def sweep(
    given: Given,
    out: Annotated[PathOption, option("Folder for CSV, figure and every run's result.", of=path)],
    grid: Annotated[
        PathOption | None,
        option("TOML file: `field = value` or list; options win over it.", of=path),
    ] = None,
    jobs: Annotated[int, option("Processes on this machine.", of=int)] = 1,
    scheduler: Annotated[
        str | None, option("Address of a Dask scheduler; its workers run, instead of --jobs.")
    ] = None,
    json_: Json = False,
    figures: Figures = "png",
) -> None:
    """Train with every combination of the values given, with commas; stopped, it goes on later.

    --hidden is one network; several are lists in the TOML file: hidden = [[64], [128, 64]].
    Exit code 1 if a run failed: see the column `error` of sweep.csv.

    Example: pslref sweep --partition iid,severe --clients 16,64 --jobs 2 --out results
    """
    configs = grids.configs((grids.read(grid) if grid else {}) | given)
    from pslref.app import scenario, sweep, workers

    with terminal.progress("runs", len(configs)) as show:
        place = workers.processes(jobs) if scheduler is None else workers.cluster(scheduler, show)
        with place as submit:
            rows = sweep.sweep(configs, out, submit, show, figures)
    failed = [row["error"] for row in rows if row["error"]]
    if json_:
        terminal.print_json(scenario.told(configs), results=rows)
    else:
        varying = grids.varying(configs)
        terminal.print_table(printed.trained(row, varying) for row in sweep.summarized(rows))
        print(printed.MEASURED)
        terminal.print_written(out, f"sweep.{figures}, sweep.csv, epochs.csv, config.json, runs")
    if failed:
        print(f"pslref: {len(failed)} of {len(rows)} runs failed: {failed[0]}", file=sys.stderr)
        raise typer.Exit(1)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="fashion-mnist or cifar10.")],
    data_dir: Annotated[str, option("Folder for the files.", of=path)] = Config.data_dir,
) -> None:
    """Download a data set from its authors' site into DATA_DIR.

    Example: pslref data get fashion-mnist --data-dir data
    """
    from pslref import datafiles

    for file in datafiles.download(name, data_dir):
        print(file)


def main() -> None:
    """Run the command line."""
    terminal.run(app)
