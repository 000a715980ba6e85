"""The clients of a plan: drawn as for a run, or read from a table of somebody's own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

import numpy as np

from pslref import check, csvfiles, files
from pslref.app.config import Config
from pslref.app.grids import DRAWN, Row, described
from pslref.app.options import numbers
from pslref.app.scenario import Clients, dataset_of, made_by, random_streams, scenario
from pslref.app.tables import rows_of

MOST_BYTES = 2**28  # of the file
MOST_TIME = 1e9
# Options that change nothing where nothing is trained, and where no network is known.
TRAINED = ("learning_rate", "momentum", "weight_decay", "execution")
NETWORK = ("model", "hidden", "cut")
OPTIONAL = ("client", "delay", "sample_cost")


@dataclass(frozen=True, eq=False)
class Table:
    """Clients as a file lists them, and the digest of the file."""

    path: Path
    clients: Clients
    sha256: str


def of_table(
    path: Path | None, given: Mapping[str, object], input_shape: str | None = None
) -> Table | None:
    """The table of a command, if it has one; options that say what it says are refused."""
    shape = None if input_shape is None else tuple(numbers("input_shape", input_shape, int))
    if shape is not None and not (min(shape) > 0 and prod(shape) <= check.MOST_NUMBERS):
        allowed = f"must be whole numbers from 1 on, with a product of at most {check.MOST_NUMBERS}"
        raise check.wrong("input_shape", input_shape, allowed)
    if path is None:
        if shape is not None:
            raise check.wrong("input_shape", input_shape, "must not be given without table")
        return None
    unheeded = (*DRAWN, *TRAINED, *(NETWORK if shape is None else ()))
    for name in unheeded:
        if name in given:
            says = "which says it" if name in DRAWN else "where it changes nothing"
            allowed = f"must not be given beside table = {str(path)!r}, {says}"
            raise check.wrong(name, given[name], allowed)
    return read(path, shape)


def read(path: Path, input_shape: tuple[int, ...] | None = None) -> Table:
    """A table of clients: a CSV file with a header and a row for each client.

    Its columns, in any order: `client`, a name; `delay`, what a step takes the client, and
    `sample_cost`, what each of its samples adds, both in one unit of time; and for every class a
    column named after it, how many samples of it the client holds. The first three may be left out:
    then clients are called 0, 1, ..., all delays are 1, and all costs 0.

    Args:
        path: the file.
        input_shape: of the samples, for which a table has no room.
    """
    table = csvfiles.read("table", path, MOST_BYTES)
    classes = [name for name in table.columns if name not in OPTIONAL]
    if not classes:
        allowed = "must have a column for at least one class"
        raise check.wrong(f"header of {path}", ",".join(table.columns), allowed)
    counts = np.array([table.numbers(name, int, 0, check.MOST_SAMPLES) for name in classes]).T
    names = table.columns.get("client", [*map(str, range(len(counts)))])
    check.each_once(f"client in {path}", names)
    delays, costs = (
        np.array(table.numbers(name, float, 0, MOST_TIME), np.float64)
        if name in table.columns
        else np.full(len(counts), default)
        for name, default in (("delay", 1.0), ("sample_cost", 0.0))
    )
    counts = check.class_counts(f"samples in {path}", counts)
    clients = Clients(counts, delays, costs, names, classes, input_shape)
    return Table(path, clients, table.sha256)


def drawn(config: Config, *, out: Path | None = None, figures: str = "png") -> Clients:
    """The clients of a config.

    Args:
        config: what to draw.
        out: a folder for clients.csv, a table that can be read, clients.png and config.json.
        figures: png, pdf or svg.
    """
    check.one_of("figures", figures, files.FIGURES)
    files.check_outputs(("out", out, ["config.json", "clients.csv", f"clients.{figures}"]))
    _, clients = scenario(config, dataset_of(config), random_streams(config.seed))
    if out is not None:
        from pslref.app import pictures, plots

        files.write_json(out / "config.json", asdict(config) | {"made_by": made_by(config)})
        files.write_csv(out / "clients.csv", rows(clients))
        pictures.save(plots.clients(clients), out / f"clients.{figures}")
    return clients


def rows(clients: Clients) -> list[Row]:
    """The rows of a table of these clients."""
    known = {"delay": clients.delays.tolist(), "sample_cost": clients.sample_costs.tolist()}
    samples = clients.class_counts.T.tolist()
    classes = dict(zip(map(str, clients.classes), samples, strict=True))
    return rows_of({"client": clients.names} | known | classes)


def planned_for(
    configs: Sequence[Config], table: Table | None
) -> Iterator[tuple[Config, Clients, dict[str, np.random.Generator]]]:
    """Each config with its clients, and with its random streams for all that comes later."""
    dataset = dataset_of(configs[0]) if table is None else None
    for config in configs:
        streams = random_streams(config.seed)
        if dataset is not None:
            _, clients = scenario(config, dataset, streams)
        elif table is not None:
            clients = table.clients
        yield config, clients.pooled() if config.sampler == "centralized" else clients, streams


def described_with(configs: Sequence[Config], table: Table | None) -> Row:
    """What was planned, as a row: with a table that, in place of what it says."""
    row = described(configs)
    if table is None:
        return row
    kept = {name: value for name, value in row.items() if name not in DRAWN}
    return {"table": str(table.path), "table_sha256": table.sha256} | kept
