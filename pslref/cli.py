"""The command line: parses, calls one function, prints. No logic lives here."""

import sys
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer

from pslref import options, printed, terminal
from pslref.config import SAMPLERS, Config
from pslref.options import PathOption, option, path
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


Json = Annotated[bool, option("Print one JSON object instead of tables.", "--json")]
Out = Annotated[PathOption | None, option("Folder for CSV, JSON and figures.", of=path)]
Figures = Annotated[str, option("What the figures in --out are written as: png, pdf or svg.")]
SCHEDULE = (
    *("dataset", "data_dir", "files", "partition", "clients", "batch_size", "sampler"),
    *("remainder", "fraction", "slowdown", "jitter", "sample_cost"),
    *("delta", "concentration", "slack", "assign", "seed"),
)
TRIED = ("delta", "concentration", "slack", "assign")  # by stragglers, several values of each
TRAINING = (
    *("model", "hidden", "cut", "learning_rate", "momentum", "weight_decay"),
    *("epochs", "seeds", "dtype", "execution"),
)
command = partial(options.command, app)


@command(*SCHEDULE, *TRAINING, "faults")
def compare(
    config: Config,
    json_: Json = False,
    out: Out = None,
    figures: Figures = "png",
) -> None:
    """Train the same network with every sampler and compare accuracy and batch deviation.

    Example: pslref compare --partition severe --clients 64 --seeds 5 --out results
    """
    from pslref import experiments

    with terminal.progress() as progress:
        total = len(experiments.runs_of(config)) * config.epochs
        advance = partial(progress.advance, progress.add_task("training", total=total))
        results = experiments.compare(config, out=out, figures=figures, after_epoch=advance)
    if json_:
        terminal.print_json(config=asdict(config), results=results.runs)
        return
    rows = experiments.summary(results.runs)
    terminal.print_table(map(printed.with_faults if config.faults else printed.comparison, rows))
    print(printed.MEASURED)
    empty = max(row["empty_clients"] for row in results.runs)
    if empty:
        print(f"Up to {empty} of {config.clients} clients hold no samples.")
    if config.faults:
        print("Unreachable: samples, per epoch, that lost clients did not get to use.")
    else:
        print("Steps, time (in delays of the fastest possible client) and MB are per epoch.")
        print(experiments.verdict(rows))
    figure = f"{'faults' if config.faults else 'compare'}.{figures}"
    terminal.print_written(out, f"{figure}, results.csv, epochs.csv, steps.csv, config.json")


@command(*SCHEDULE, *(name for name in TRAINING if name != "seeds"), "faults", sampler=("ugs",))
def train(
    config: Config,
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
) -> None:
    """Train once, as `compare` does for one sampler and seed; stop and go on with checkpoints.

    Ctrl-C and SIGTERM finish the step, write the checkpoint, and say how to go on. A run that goes
    on ends as it would have without the stop, to the bit. All options must be the same then, but
    --data-dir may differ and, without --faults, --epochs may be raised.

    Example: pslref train --sampler lds --clients 16 --checkpoint run --out results
    """
    from pslref import experiments

    with terminal.progress() as progress, terminal.stop_signals() as received:
        task = progress.add_task("training", total=config.epochs)

        def show(run: Any, epochs_done: float) -> None:
            progress.update(task, completed=epochs_done)
            if epochs_done.is_integer() and not json_:
                print(printed.epoch(run.results().epochs[-1]), flush=True)

        run = experiments.train(
            config,
            checkpoint=checkpoint,
            every=every,
            resume=resume,
            out=out,
            after_step=show,
            stop=lambda: bool(received),
        )
    if not run.finished:
        raise terminal.Stopped(received[0], checkpoint is not None, resume)
    results = run.results()
    if json_:
        terminal.print_json(config=asdict(run.config), results=results.runs, epochs=results.epochs)
        return
    shown = printed.with_faults if config.faults else printed.comparison
    terminal.print_table(map(shown, experiments.summary(results.runs)))
    print(printed.MEASURED)
    terminal.print_written(out, "weights.npz, results.csv, epochs.csv, steps.csv, config.json")


@command(*SCHEDULE, "epochs", sampler=("ugs",), epochs=1)
def schedule(
    config: Config,
    json_: Json = False,
    out: Annotated[PathOption | None, option("Folder for schedule.csv.", of=path)] = None,
) -> None:
    """Print who brings how many samples to which step, as CSV: one row per participant.

    Example: pslref schedule --partition iid --clients 4 --batch-size 256 --sampler fpls
    """
    from pslref import files, planning

    rows = planning.schedules(config, out=out)
    if json_:
        terminal.print_json(config=asdict(config), schedule=rows)
    elif out is None:
        files.csv_lines(sys.stdout, rows)


@command(*SCHEDULE, sampler=SAMPLERS[1:])
def deviation(
    config: Config, json_: Json = False, out: Out = None, figures: Figures = "png"
) -> None:
    """Batch deviation over the steps of one epoch: exact, simulated, bounded. Nothing is trained.

    Example: pslref deviation --partition severe --clients 16 --batch-size 64 --out results
    """
    from pslref import planning

    steps, summary = planning.deviation(config, out=out, figures=figures)
    if json_:
        terminal.print_json(config=asdict(config), summary=summary, steps=steps)
        return
    terminal.print_table(map(printed.deviation, summary))
    print(printed.EXPECTED)
    terminal.print_written(out, f"deviation.{figures}, deviation.csv, summary.csv, config.json")


@command(*(name for name in SCHEDULE if name not in TRIED), *TRAINING, sampler=SAMPLERS[1:])
def stragglers(
    config: Config,
    deltas: Annotated[str, option("Values of δ for LDS, with commas.", "--delta")] = "0,0.5,1,2",
    concentrations: Annotated[
        str, option("Values of c, with commas.", "--concentration")
    ] = "0.01,1",
    slacks: Annotated[str, option("Values of slack, with commas.", "--slack")] = "0",
    assignments: Annotated[
        str, option("Assignments of class targets (see compare), with commas.", "--assign")
    ] = "slowest-first",
    accuracy: Annotated[bool, option("Also train with each schedule.", "--accuracy")] = False,
    json_: Json = False,
    out: Out = None,
    figures: Figures = "png",
) -> None:
    """Epoch time against batch deviation when some clients are slow, beside the least time.

    LDS is tried for each δ and c, class targets for each slack and assignment.

    Example: pslref stragglers --clients 64 --slowdown 10 --delta 0,1,2 --out results
    """
    from pslref import planning

    grid = planning.straggler_grid(
        config,
        options.numbers("delta", deltas, float),
        options.numbers("concentration", concentrations, float),
        options.numbers("slack", slacks, float),
        assignments.split(","),
    )
    with terminal.progress() as progress:
        task = progress.add_task("schedules", total=len(grid) * config.seeds)
        advance = partial(progress.advance, task)
        rows = planning.stragglers(
            config, grid, accuracy=accuracy, out=out, figures=figures, after_row=advance
        )
    if json_:
        terminal.print_json(config=planning.straggler_config(config, grid), results=rows)
        return
    terminal.print_table(map(printed.straggler, planning.mean_over_seeds(rows)))
    print(f"{printed.EXPECTED} All are means over the seeds.")
    terminal.print_written(out, f"stragglers.{figures}, stragglers.csv, config.json")


@command(*SCHEDULE, *TRAINING, several=True)
def sweep(
    given: dict[str, list[Any]],
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
    from pslref import sweep

    values = sweep.checked((sweep.read(grid) if grid else {}) | given)
    with terminal.progress() as progress:
        show = partial(progress.update, progress.add_task("runs", total=len(sweep.configs(values))))
        place = sweep.processes(jobs) if scheduler is None else sweep.cluster(scheduler, show)
        with place as executor:
            rows = sweep.run(values, out, executor, lambda: show(advance=1), figures)
    failed = [row["error"] for row in rows if row["error"]]
    if json_:
        terminal.print_json(config=values, results=rows)
    else:
        varying = sweep.varying(rows)
        terminal.print_table(printed.sweep(row, varying) for row in sweep.summary(rows))
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
