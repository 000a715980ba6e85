"""The commands that train nothing: who the clients are, and what each schedule would do."""

import sys
from typing import Annotated

import typer

from pslref import check
from pslref.app import grids, printed, terminal
from pslref.app.config import SAMPLERS, Config
from pslref.app.options import (
    MODEL,
    NETWORK,
    SCHEDULE,
    TRAINING,
    Figures,
    Given,
    Json,
    Out,
    PathOption,
    command,
    option,
    path,
)

app = typer.Typer()
TableFile = Annotated[
    PathOption | None,
    option(
        "CSV file of your own clients, a row each: client, delay, sample_cost (all optional), and "
        "a column of sample counts for each class. In place of delay and sample_cost it may have "
        "latency (seconds there and back), flops (a second), uplink and downlink (bytes a second): "
        "times are then in seconds, of the network and the cut. In place of drawn clients.",
        "--table",
        of=path,
    ),
]
InputShape = Annotated[
    str | None,
    option("With --table, what the network takes, such as 28,28,1: for bytes and for links."),
]


@command(app, *SCHEDULE, *NETWORK, "epochs", several=("sampler",), sampler=("ugs",), epochs=1)
def schedule(
    given: Given,
    table: TableFile = None,
    input_shape: InputShape = None,
    json_: Json = False,
    out: Annotated[PathOption | None, option("Folder for schedule.csv.", of=path)] = None,
) -> None:
    """Print who brings how many samples, and of which class, to which step, as CSV.

    A client draws freely from what it holds where the class is empty.

    Example: pslref schedule --partition iid --clients 4 --batch-size 256 --sampler fpls
    """
    configs = grids.configs({"seeds": 1} | given)
    from pslref import files
    from pslref.app import clients, schedule

    known = clients.of_table(table, given, input_shape)
    clients.refuse_network(given, known, input_shape)
    rows = schedule.schedules(configs, known, out=out)
    if json_:
        terminal.print_json(clients.told_with(configs, known), schedule=rows)
    elif out is None:
        files.csv_lines(sys.stdout, rows)


@command(app, *SCHEDULE, *NETWORK, several=("sampler",), sampler=SAMPLERS[1:])
def deviation(
    given: Given,
    table: TableFile = None,
    input_shape: InputShape = None,
    json_: Json = False,
    out: Out = None,
    figures: Figures = "png",
) -> None:
    """Batch deviation over the steps of one epoch: exact, simulated, bounded. Nothing is trained.

    Example: pslref deviation --partition severe --clients 16 --batch-size 64 --out results
    """
    configs = grids.configs({"seeds": 1} | given)
    from pslref.app import clients, deviation

    known = clients.of_table(table, given, input_shape)
    clients.refuse_network(given, known, input_shape)
    steps, rows = deviation.deviation(configs, known, out=out, figures=figures)
    if json_:
        terminal.print_json(clients.told_with(configs, known), summary=rows, steps=steps)
        return
    terminal.print_table(map(printed.deviation, rows))
    print(printed.EXPECTED)
    terminal.print_written(out, f"deviation.{figures}, deviation.csv, summary.csv, config.json")


@command(
    app,
    *SCHEDULE,
    *MODEL,
    "seeds",
    several=grids.SETTINGS,
    sampler=SAMPLERS[1:],
    delta=(0.0, 0.5, 1.0, 2.0),
)
def plan(
    given: Given,
    table: TableFile = None,
    input_shape: InputShape = None,
    server_flops: Annotated[
        float | None,
        option("With links in --table, operations of the server in a second.", of=float),
    ] = None,
    max_deviation: Annotated[
        float | None,
        option("Largest Δ allowed, instead of what UGS stays within in 95 of 100.", of=float),
    ] = None,
    accuracy: Annotated[bool, option("Also train with each schedule.", "--accuracy")] = False,
    json_: Json = False,
    out: Out = None,
    figures: Figures = "png",
) -> None:
    """Epoch time against batch deviation when some clients are slow, beside the least time.

    Several samplers, batch sizes, cuts, δ, c, slacks and assignments are tried at once. The least
    is of schedules no step of which deviates more than the row's largest Δ, for targets and
    stratified; else of any. A short last batch has a large Δ: --remainder even has no such batch.

    Example: pslref plan --table hospitals.csv --batch-size 64,128 --delta 0,1,2 --out results
    """
    allowed = None if max_deviation is None else check.real("max_deviation", max_deviation, 0, 2)
    with_ugs = tuple(dict.fromkeys(("ugs", *given["sampler"])))
    configs = grids.configs(given | {"sampler": with_ugs})
    from pslref.app import clients, plan

    known = clients.of_table(table, given, input_shape, server_flops)
    clients.refuse(given, () if accuracy else TRAINING, "without accuracy: nothing is trained")
    with terminal.progress("schedules", len(configs)) as advance:
        every = plan.plan(
            configs, known, accuracy=accuracy, out=out, figures=figures, after_row=advance
        )
    rows = plan.planned(every)
    if json_:
        terminal.print_json(clients.told_with(configs, known), results=rows)
        return
    cuts = ["cut"] if len({row["cut"] for row in rows}) > 1 else []
    terminal.print_table(printed.plan(row, cuts) for row in rows)
    seeds = rows[0]["seeds"]
    over = "of one seed" if seeds == 1 else f"means over {seeds} seeds"
    print(f"{printed.EXPECTED} All are {over}.")
    if sentence := printed.rounded_up(rows):
        print(sentence)
    print(printed.time_unit(rows[0], clients.time_unit_of(configs[0].links, known)))
    print(printed.recommendation(plan.recommended(rows, allowed), allowed, cuts))
    terminal.print_written(out, f"plan.{figures}, plan.csv, config.json")


@command(app, *grids.DRAWN, "seed")
def clients(
    given: Given,
    json_: Json = False,
    out: Out = None,
    figures: Figures = "png",
) -> None:
    """Show who holds how many samples of which class, and how slow each client is.

    The table in --out can be edited and given to `plan`, `deviation` and `schedule` as --table.

    Example: pslref clients --partition severe --clients 16 --out drawn
    """
    config = Config(**given)
    from pslref.app import clients, scenario

    known = clients.drawn(config, out=out, figures=figures)
    if json_:
        terminal.print_json(scenario.told([config]), clients=clients.rows(known))
        return
    terminal.print_table(printed.clients(known))
    terminal.print_written(out, f"clients.{figures}, clients.csv, config.json")
