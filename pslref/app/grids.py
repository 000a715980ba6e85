"""A grid: several values for fields of Config, the runs that they make, and what a run heeds."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from pslref import check, files
from pslref.app.config import DRAWN_TIMES, PARTITIONS, SAMPLERS, Config

Row = dict[str, Any]

MOST_RUNS = 10_000
MOST_BYTES = 2**20  # of the file
SEEDS = 5  # by default
ONCE = ("data_dir", "seeds", "seed")  # one value in a grid
DEFAULTS: Row = {each.name: each.default for each in fields(Config)} | {"seeds": SEEDS}

# Who holds which samples, and who is slow.
CLIENTS = ("partition", "least", "clients", *DRAWN_TIMES, "links")
DRAWN = ("dataset", "data_dir", "files", *CLIENTS)

# What a plan compares.
LDS, TARGETS = ("delta", "concentration"), ("slack", "assign")
SETTINGS = ("sampler", "batch_size", "cut", *LDS, *TARGETS)

# Fields, and the values of another, up to a colon, with which alone a run heeds them.
OF_SAMPLERS = (
    (LDS, "sampler", ("lds",)),
    (TARGETS, "sampler", ("targets", "stratified")),
)
OWN = (  # where no run heeds them, they are refused
    (("slack",), "assign", ("auto", "planned")),
    (("least",), "partition", ("dirichlet",)),
    (("clients",), "partition", [p.split(":")[0] for p in PARTITIONS if p != "owners"]),
    (DRAWN_TIMES, "links", ("none",)),
)
HEEDED_WITH = (  # runs that differ in what they do not heed are one run
    *OF_SAMPLERS,
    *OWN,
    ((*CLIENTS, "faults"), "sampler", SAMPLERS[1:]),
    (("remainder",), "sampler", [s for s in SAMPLERS if s not in ("fls", "fpls")]),
    (("hidden",), "model", ("mlp",)),
    (("files",), "dataset", ("fashion-mnist", "cifar10")),
)


def read(path: Path) -> Row:
    """The fields of a TOML file, each with a value or a list of values."""
    text = files.content("grid", path, MOST_BYTES)
    try:
        return tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise check.wrong("grid", str(path), f"must be a TOML file: {error}") from None


def configs(given: Mapping[str, Any]) -> list[Config]:
    """The runs of a grid, each once: by default of all samplers, with five seeds.

    Args:
        given: for any field of Config a value or a list of values. `hidden` is one network as a
            list of widths, or several as a list of such lists. `seeds` is how many seeds there are
            from `seed` on; these and data_dir have one value.

    Returns:
        A config for each combination, the seeds varying fastest; 10,000 at most. A field that its
        run does not heed has its default.
    """
    for name in given:
        check.one_of("field of the grid", name, DEFAULTS)
    asked = {"sampler": SAMPLERS, **given}
    grid = {name: _values(name, value) for name, value in asked.items()}
    changed = {name: asked[name] for name, values in grid.items() if values != [DEFAULTS[name]]}
    refuse_unheeded(changed, DEFAULTS | asked, OWN)
    (first,), (seeds,) = grid.pop("seed", [0]), grid.pop("seeds", [SEEDS])
    count = prod(map(len, grid.values())) * check.integer("seeds", seeds, 1, MOST_RUNS)
    if count > MOST_RUNS:
        raise ValueError(f"the grid has {count} runs: must have at most {MOST_RUNS}")
    in_order = sorted(grid, key=list(DEFAULTS).index)
    found: dict[Config, None] = {}
    for values in product(*(grid[name] for name in in_order)):
        config = Config(**dict(zip(in_order, values, strict=True)), seed=first)
        config = replace(config, **{name: DEFAULTS[name] for name in unheeded(config)})
        for seed in range(first, first + seeds):
            found[replace(config, seed=seed)] = None
    return list(found)


def _values(name: str, given: Any) -> list[Any]:
    if name == "hidden":
        several = isinstance(given, list) and any(isinstance(value, list) for value in given)
        networks = given if several else [given]
        if not all(isinstance(network, list | tuple) for network in networks):
            raise check.wrong(name, given, "must be a list of widths, or a list of such lists")
        return [tuple(network) for network in networks]
    values = list(given) if isinstance(given, list | tuple) else [given]
    if not values or (name in ONCE and len(values) > 1):
        raise check.wrong(name, given, "must be one value" + " or more" * (name not in ONCE))
    return values


def refuse_unheeded(given: Row, asked: Row, ways: Sequence[Any]) -> None:
    """Refuse a field that is given if nothing that is asked for heeds it, in these ways."""
    for names, other, values in ways:
        checked = Config.__dataclass_fields__[other].metadata["checked"]
        found = {checked(other, value).split(":")[0] for value in _values(other, asked[other])}
        for name in names:
            if name in given and not found & set(values):
                allowed = f"must be left out unless {other} is {' or '.join(values)}"
                raise check.wrong(name, given[name], allowed)


def unheeded(config: Config) -> list[str]:
    """The fields that a run does not heed."""
    left_out = [
        names
        for names, other, values in HEEDED_WITH
        if getattr(config, other).split(":")[0] not in values
    ]
    return [name for names in left_out for name in names]


def labels(config: Config) -> Row:
    """What a run is, as a row; a field that it does not heed is None."""
    row = asdict(config) | {"hidden": ",".join(map(str, config.hidden))}
    del row["data_dir"]
    return row | dict.fromkeys(unheeded(config))


def described(configs: Sequence[Config]) -> Row:
    """What several runs are, as a row: of a field that varies, the list of its values."""
    row, left_out = {}, [(config, unheeded(config)) for config in configs]
    for name, default in asdict(Config()).items():
        heeded = [getattr(config, name) for config, names in left_out if name not in names]
        values = list(dict.fromkeys(heeded or [default]))
        row[name] = values if len(values) > 1 else values[0]
    return row


def varying(configs: Sequence[Config]) -> list[str]:
    """The fields besides sampler and seed of which there is more than one value."""
    return [
        name
        for name, value in described(configs).items()
        if isinstance(value, list) and name not in ("sampler", "seed")
    ]
