"""The clients of a plan: drawn as for a run, or read from a table of somebody's own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from pslref import check, csvfiles, files
from pslref.app.config import Config, time_unit
from pslref.app.grids import DRAWN, Row
from pslref.app.options import NETWORK, numbers
from pslref.app.scenario import Clients, clocked, dataset_of, random_streams, scenario, told
from pslref.app.tables import rows_of
from pslref.data import Dataset
from pslref.split import Links

MOST_BYTES = 2**28  # of the file
# The columns of times, in one unit, and in their place those of links; each with its range.
TIMES = {"delay": (0.0, 1e9), "sample_cost": (0.0, 1e9)}
RATE = (1.0, 1e30)  # a second
LINKS = {"latency": (0.0, 1e9), "flops": RATE, "uplink": RATE, "downlink": RATE}
OPTIONAL = ("client", *TIMES, *LINKS)


@dataclass(frozen=True, eq=False)
class Table:
    """Clients as a file lists them, and the digest of the file."""

    path: Path
    clients: Clients
    sha256: str


def of_table(
    path: Path | None,
    given: Mapping[str, object],
    input_shape: str | None = None,
    server_flops: float | None = None,
) -> Table | None:
    """The table of a command, if it has one; options that change nothing beside it are refused."""
    shape = None if input_shape is None else tuple(numbers("input_shape", input_shape, int))
    if shape is not None and not (min(shape) > 0 and prod(shape) <= check.MOST_NUMBERS):
        allowed = f"must be whole numbers from 1 on, with a product of at most {check.MOST_NUMBERS}"
        raise check.wrong("input_shape", input_shape, allowed)
    if server_flops is not None:
        check.real("server_flops", server_flops, 1)
    if path is None:
        for name, value in (("input_shape", shape), ("server_flops", server_flops)):
            refuse({} if value is None else {name: value}, [name], "without table")
        return None
    beside = f"beside table = {str(path)!r}"
    refuse(given, DRAWN, f"{beside}, which says it")
    refuse(given, NETWORK if shape is None else (), f"{beside} without input_shape")
    table = read(path, shape)
    if server_flops is not None and table.clients.links is None:
        refuse({"server_flops": server_flops}, ["server_flops"], f"{beside}, which has no links")
    return replace(table, clients=replace(table.clients, server_flops=server_flops))


def refuse(given: Mapping[str, object], names: Iterable[str], where: str) -> None:
    """Refuse options that change nothing."""
    for name in names:
        if name in given:
            raise check.wrong(name, given[name], f"must not be given {where}")


def refuse_network(
    given: Mapping[str, object], table: Table | None, input_shape: str | None
) -> None:
    """Refuse what describes a network, if no times depend on it."""
    if time_unit_of(str(given.get("links", "none")), table) != "seconds":
        shape = {} if input_shape is None else {"input_shape": input_shape}
        refuse({**given, **shape}, (*NETWORK, *shape), "without links: no time depends on it")


def read(path: Path, input_shape: tuple[int, ...] | None = None) -> Table:
    """A table of clients: a CSV file with a header and a row for each client.

    Its columns, in any order: `client`, a name; `delay`, what a step takes the client, and
    `sample_cost`, what each of its samples adds, both in one unit of time; and for every class a
    column named after it, how many samples of it the client holds. The first three may be left out:
    then clients are called 0, 1, ..., all delays are 1, and all costs 0. In place of delay and
    sample_cost there may be `latency` (seconds there and back), `flops` (a second), `uplink` and
    `downlink` (bytes a second), all four, from which a network's times in seconds follow.

    Args:
        path: the file.
        input_shape: of the samples, for which a table has no room.
    """
    table = csvfiles.read("table", path, MOST_BYTES)
    _check_header(path, list(table.columns))
    classes = [name for name in table.columns if name not in OPTIONAL]
    if not classes:
        allowed = "must have a column for at least one class"
        raise check.wrong(f"header of {path}", ",".join(table.columns), allowed)
    counts = np.array([table.numbers(name, int, 0, check.MOST_SAMPLES) for name in classes]).T
    names = table.columns.get("client", [*map(str, range(len(counts)))])
    check.each_once(f"client in {path}", names)
    timed = {
        name: np.array(table.numbers(name, float, *limits), np.float64)
        for name, limits in (TIMES | LINKS).items()
        if name in table.columns
    }
    links = Links(*(timed.pop(name) for name in LINKS)) if "latency" in timed else None
    delays, costs = (
        timed.get(name, np.full(len(counts), default))
        for name, default in (("delay", 1.0), ("sample_cost", 0.0))
    )
    counts = check.class_counts(f"samples in {path}", counts)
    clients = Clients(counts, delays, costs, names, classes, input_shape, links)
    return Table(path, clients, table.sha256)


def _check_header(path: Path, header: list[str]) -> None:
    what = f"header of {path}"
    for separator in (";", "\t"):
        if len(header) == 1 and separator in header[0]:
            allowed = f"must have commas between its columns, as all rows, not {separator!r}"
            raise check.wrong(what, header[0], allowed)
    meant = {_letters(name): name for name in OPTIONAL}
    for name in header:
        if (known := meant.get(_letters(name), name)) != name:
            raise check.wrong(f"a column of {path}", name, f"must be written {known!r}")
    of_links = [name for name in LINKS if name in header]
    if of_links and (len(of_links) < len(LINKS) or set(header) & set(TIMES)):
        allowed = f"must have all of {', '.join(LINKS)}, without delay and sample_cost, or none"
        raise check.wrong(what, ",".join(header), allowed)


def _letters(name: str) -> str:
    """What is the same in 'Sample cost', 'sample-costs' and 'sample_cost'."""
    return "".join(filter(str.isalpha, name.lower())).removesuffix("s")


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

        files.write_json(out / "config.json", told([config]))
        files.write_csv(out / "clients.csv", rows(clients))
        pictures.save(plots.clients(clients), out / f"clients.{figures}")
    return clients


def rows(clients: Clients) -> list[Row]:
    """The rows of a table of these clients."""
    samples = clients.class_counts.T.tolist()
    times = {name: column.tolist() for name, column in clients.times().items()}
    classes = dict(zip(map(str, clients.classes), samples, strict=True))
    return rows_of({"client": clients.names} | times | classes)


def planned_for(
    configs: Sequence[Config], known: Table | Dataset
) -> Iterator[tuple[Config, Clients, dict[str, np.random.Generator]]]:
    """Each config with its clients, and with its random streams for all that comes later."""
    for config in configs:
        streams = random_streams(config.seed)
        if isinstance(known, Table):
            clients = clocked(known.clients, config)
        else:
            _, clients = scenario(config, known, streams)
        yield config, clients.pooled() if config.sampler == "centralized" else clients, streams


def told_with(configs: Sequence[Config], table: Table | None) -> Row:
    """What was planned, as `told`: with a table that, in place of what it says."""
    row = told(configs, time_unit=time_unit_of(configs[0].links, table))
    if table is None:
        return row
    kept = {name: value for name, value in row.items() if name not in DRAWN}
    beside = {name: getattr(table.clients, name) for name in ("input_shape", "server_flops")}
    return {"table": str(table.path), "table_sha256": table.sha256} | beside | kept


def time_unit_of(links: str, table: Table | None) -> str:
    """What the times of a plan are in."""
    if table is None:
        return time_unit(links)
    of_table = table.clients.links
    return "the unit of the table's delays and costs" if of_table is None else "seconds"
