"""The command line: parses, calls one function, prints. No logic lives here."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from pslref import terminal
from pslref.config import SAMPLERS, Config
from pslref.oracle.cli import app as oracle_app

Number = TypeVar("Number", int, float)

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Parallel split learning with global sampling: the NumPy reference.",
)
data_app = typer.Typer(invoke_without_command=True, help="Download data sets.")
app.add_typer(data_app, name="data")


@app.callback()
@data_app.callback()
def without_command(context: typer.Context) -> None:
    """Without a command, print the help."""
    if context.invoked_subcommand is None:
        print(context.get_help())


app.add_typer(oracle_app, name="oracle")


def _option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text)


DatasetName = Annotated[str, _option("digits (shipped), fashion-mnist or cifar10.", "--dataset")]
DataDir = Annotated[str, _option("Folder that holds the data sets' files.")]
PartitionName = Annotated[str, _option("iid, mild or severe: who holds which samples.", "--partition")]  # fmt: skip  # noqa: E501
Clients = Annotated[int, _option("K, the number of clients.")]
BatchSize = Annotated[int, _option("B, the global batch size.")]
Sampler = Annotated[
    list[str],
    _option(
        "What forms the batches, with commas: centralized; fls and fpls (fixed local batches, "
        "equal or proportional); ugs (uniform global sampling); lds (latent Dirichlet sampling); "
        "targets and stratified (class targets, random or even)."
    ),
]
Model = Annotated[str, _option("mlp or cnn.")]
Hidden = Annotated[str, _option("Widths of the MLP's hidden layers, separated by commas.")]
Cut = Annotated[
    int, _option("Layers in the client half; 3 is Flatten, Linear, ReLU or Conv, ReLU, pool.")
]
LearningRate = Annotated[float, _option("Learning rate of SGD.")]
Momentum = Annotated[float, _option("Momentum of SGD.")]
WeightDecay = Annotated[float, _option("Weight decay of SGD.")]
Epochs = Annotated[int, _option("Passes over the training data.")]
Seeds = Annotated[int, _option("Number of seeds: SEED, SEED + 1, ...")]
Seed = Annotated[int, _option("First seed.")]
Remainder = Annotated[str, _option("short (one short last batch) or even (nearly equal batches).")]
Fraction = Annotated[float, _option("Probability that a client is a straggler.")]
Slowdown = Annotated[float, _option("A straggler's delay, in units of another client's.")]
Jitter = Annotated[float, _option("How far the clients' delays differ besides.")]
Delta = Annotated[float, _option("How strongly LDS reacts to delays, 0 or more.")]
Concentration = Annotated[
    float, _option("c: how much LDS heeds delays and shares against the class mix.")
]
Slack = Annotated[float, _option("How far class targets may leave the pooled mix, 0 to 2.")]
Dtype = Annotated[str, _option("float64 or float32.")]
Json = Annotated[bool, _option("Print one JSON object instead of tables.", "--json")]
Out = Annotated[Path | None, _option("Folder for CSV, JSON and figures.")]


@app.command()
def compare(
    dataset: DatasetName = Config.dataset,
    data_dir: DataDir = Config.data_dir,
    partition: PartitionName = Config.partition,
    clients: Clients = Config.clients,
    batch_size: BatchSize = Config.batch_size,
    sampler: Sampler = list(Config.sampler),
    model: Model = Config.model,
    hidden: Hidden = ",".join(map(str, Config.hidden)),
    cut: Cut = Config.cut,
    learning_rate: LearningRate = Config.learning_rate,
    momentum: Momentum = Config.momentum,
    weight_decay: WeightDecay = Config.weight_decay,
    epochs: Epochs = Config.epochs,
    seeds: Seeds = Config.seeds,
    seed: Seed = Config.seed,
    remainder: Remainder = Config.remainder,
    dtype: Dtype = Config.dtype,
    fraction: Fraction = Config.fraction,
    slowdown: Slowdown = Config.slowdown,
    jitter: Jitter = Config.jitter,
    delta: Delta = Config.delta,
    concentration: Concentration = Config.concentration,
    slack: Slack = Config.slack,
    json_: Json = False,
    out: Out = None,
) -> None:
    """Train the same network with every sampler and compare accuracy and batch deviation.

    Example: pslref compare --partition severe --clients 16 --seeds 3 --out results
    """
    from pslref import experiments

    config = _config(locals())
    with terminal.progress() as progress:
        task = progress.add_task("training", total=len(config.sampler) * seeds * epochs)
        results = experiments.compare(config, out=out, after_epoch=lambda: progress.advance(task))
    if json_:
        terminal.print_json({"config": asdict(config), "results": results.runs})
        return
    rows = experiments.summary(results.runs)
    terminal.print_table(map(terminal.comparison, rows))
    empty = max(row["empty_clients"] for row in results.runs)
    if empty:
        print(f"Up to {empty} of {clients} clients hold no samples.")
    print("Steps, time (in delays of the fastest possible client) and MB are per epoch.")
    print(experiments.verdict(rows))
    if out is not None:
        print(f"Written to {out}: compare.png, results.csv, epochs.csv, steps.csv, config.json")


@app.command()
def schedule(
    dataset: DatasetName = Config.dataset,
    data_dir: DataDir = Config.data_dir,
    partition: PartitionName = Config.partition,
    clients: Clients = Config.clients,
    batch_size: BatchSize = Config.batch_size,
    sampler: Sampler = ["ugs"],
    epochs: Epochs = 1,
    remainder: Remainder = Config.remainder,
    fraction: Fraction = Config.fraction,
    slowdown: Slowdown = Config.slowdown,
    jitter: Jitter = Config.jitter,
    delta: Delta = Config.delta,
    concentration: Concentration = Config.concentration,
    slack: Slack = Config.slack,
    seed: Seed = Config.seed,
    json_: Json = False,
    out: Annotated[Path | None, _option("Folder for schedule.csv.")] = None,
) -> None:
    """Print who brings how many samples to which step, as CSV: one row per participant.

    Example: pslref schedule --partition iid --clients 4 --batch-size 256 --sampler fpls
    """
    from pslref import files, planning

    config = _config(locals())
    rows = planning.schedules(config)
    if out is not None:
        files.write_csv(out / "schedule.csv", rows)
    if json_:
        terminal.print_json({"config": asdict(config), "schedule": rows})
    elif out is None:
        files.csv_lines(sys.stdout, rows)


@app.command()
def deviation(
    dataset: DatasetName = Config.dataset,
    data_dir: DataDir = Config.data_dir,
    partition: PartitionName = Config.partition,
    clients: Clients = Config.clients,
    batch_size: BatchSize = Config.batch_size,
    sampler: Sampler = list(SAMPLERS[1:]),
    remainder: Remainder = Config.remainder,
    fraction: Fraction = Config.fraction,
    slowdown: Slowdown = Config.slowdown,
    jitter: Jitter = Config.jitter,
    delta: Delta = Config.delta,
    concentration: Concentration = Config.concentration,
    slack: Slack = Config.slack,
    seed: Seed = Config.seed,
    json_: Json = False,
    out: Out = None,
) -> None:
    """Batch deviation over the steps of one epoch: exact, simulated, bounded. Nothing is trained.

    Example: pslref deviation --partition severe --clients 16 --batch-size 64 --out results
    """
    from pslref import planning

    config = _config(locals())
    steps, summary = planning.deviation(config, out=out)
    if json_:
        terminal.print_json({"config": asdict(config), "summary": summary, "steps": steps})
        return
    terminal.print_table(map(terminal.deviation, summary))
    print("Δ is the exact expectation, given each sampler's schedule.")
    if out is not None:
        print(f"Written to {out}: deviation.png, deviation.csv, summary.csv, config.json")


@app.command()
def stragglers(
    dataset: DatasetName = Config.dataset,
    data_dir: DataDir = Config.data_dir,
    partition: PartitionName = Config.partition,
    clients: Clients = Config.clients,
    batch_size: BatchSize = Config.batch_size,
    sampler: Sampler = list(SAMPLERS[1:]),
    fraction: Fraction = Config.fraction,
    slowdown: Slowdown = Config.slowdown,
    jitter: Jitter = Config.jitter,
    deltas: Annotated[str, _option("Values of δ for LDS, with commas.", "--delta")] = "0,0.5,1,2",
    concentrations: Annotated[
        str, _option("Values of c, with commas.", "--concentration")
    ] = "0.01,1",
    slacks: Annotated[str, _option("Values of slack, with commas.", "--slack")] = "0",
    accuracy: Annotated[bool, _option("Also train with each schedule.", "--accuracy")] = False,
    model: Model = Config.model,
    hidden: Hidden = ",".join(map(str, Config.hidden)),
    cut: Cut = Config.cut,
    learning_rate: LearningRate = Config.learning_rate,
    momentum: Momentum = Config.momentum,
    weight_decay: WeightDecay = Config.weight_decay,
    epochs: Epochs = Config.epochs,
    remainder: Remainder = Config.remainder,
    dtype: Dtype = Config.dtype,
    seeds: Seeds = Config.seeds,
    seed: Seed = Config.seed,
    json_: Json = False,
    out: Out = None,
) -> None:
    """Epoch time against batch deviation when some clients are slow, LDS for each δ and c.

    Example: pslref stragglers --clients 64 --slowdown 10 --delta 0,1,2 --out results
    """
    from pslref import planning

    config = _config(locals())
    grid = planning.straggler_grid(
        config,
        _numbers("delta", deltas, float),
        _numbers("concentration", concentrations, float),
        _numbers("slack", slacks, float),
    )
    with terminal.progress() as progress:
        task = progress.add_task("schedules", total=len(grid) * seeds)
        rows = planning.stragglers(
            config, grid, accuracy=accuracy, out=out, after_row=lambda: progress.advance(task)
        )
    if json_:
        terminal.print_json({"config": planning.straggler_config(config, grid), "results": rows})
        return
    terminal.print_table(map(terminal.straggler, planning.mean_over_seeds(rows)))
    print("Δ is the exact expectation, given each schedule; all are means over the seeds.")
    if out is not None:
        print(f"Written to {out}: stragglers.png, stragglers.csv, config.json")


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="fashion-mnist or cifar10.")],
    data_dir: DataDir = Config.data_dir,
) -> None:
    """Download a data set from its authors' site into DATA_DIR.

    Example: pslref data get fashion-mnist --data-dir data
    """
    from pslref import data

    for path in data.download(name, data_dir):
        print(path)


def _config(options: dict[str, Any]) -> Config:
    """The options of a command that are fields of Config."""
    fields = {name: value for name, value in options.items() if hasattr(Config, name)}
    if "sampler" in fields:
        fields["sampler"] = tuple(",".join(fields["sampler"]).split(","))
    if "hidden" in fields:
        fields["hidden"] = tuple(_numbers("hidden", fields["hidden"], int))
    return Config(**fields)


def _numbers(name: str, text: str, kind: type[Number]) -> list[Number]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        whole = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name} = {text!r}: must be {whole} separated by commas") from None


def main() -> None:
    """Run the command line."""
    terminal.run(app)
