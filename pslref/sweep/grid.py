"""A grid: several values for each field of Config, and the runs that they make."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from pslref import check, files
from pslref.config import Config

Row = dict[str, Any]
Grid = dict[str, list[Any]]

MOST_RUNS = 10_000
MOST_BYTES = 2**20  # of the file
ONCE = ("data_dir", "seeds", "seed")  # one value in a grid
DEFAULTS: Row = {each.name: each.default for each in fields(Config) if each.name != "faults"}
COLUMNS = tuple(name for name in DEFAULTS if name not in ("data_dir", "seeds"))

# Fields that a run does not heed. Runs that differ in nothing else are one run.
LDS, TARGETS = ("delta", "concentration"), ("slack", "assign")
CLIENTS = ("partition", "clients", "fraction", "slowdown", "jitter", "sample_cost")
UNHEEDED = {
    "centralized": (*CLIENTS, *LDS, *TARGETS),
    "fls": ("remainder", *LDS, *TARGETS),
    "fpls": ("remainder", *LDS, *TARGETS),
    "ugs": (*LDS, *TARGETS),
    "lds": TARGETS,
    "targets": LDS,
    "stratified": LDS,
}


def read(path: Path) -> Row:
    """The fields of a TOML file, each with a value or a list of values."""
    text = files.content("grid", path, MOST_BYTES)
    try:
        return tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise check.wrong("grid", str(path), f"must be a TOML file: {error}") from None


def checked(given: Mapping[str, Any]) -> Grid:
    """The values of every field of Config: those given, or else the default.

    Args:
        given: for any field a value or a list of values. `hidden` is one network as a list of
            widths, or several as a list of such lists; data_dir, seeds and seed have one value.

    Raises:
        ValueError: for an unknown field, a value that cannot be run, or more than 10,000 runs.
    """
    for name in given:
        check.one_of("field of the grid", name, DEFAULTS)
    grid = {name: _values(name, given.get(name, default)) for name, default in DEFAULTS.items()}
    count = prod(map(len, grid.values())) * check.integer("seeds", grid["seeds"][0], 1, MOST_RUNS)
    if count > MOST_RUNS:
        raise ValueError(f"the grid has {count} runs: must have at most {MOST_RUNS}")
    configs(grid)
    return grid


def _values(name: str, given: Any) -> list[Any]:
    if name == "hidden":
        several = isinstance(given, list) and any(isinstance(value, list) for value in given)
        networks = given if several else [given]
        if not all(isinstance(network, list | tuple) for network in networks):
            raise check.wrong(name, given, "must be a list of widths, or a list of such lists")
        return [list(network) for network in networks]
    values = list(given) if isinstance(given, list | tuple) else [given]
    if not values or (name in ONCE and len(values) > 1):
        raise check.wrong(name, given, "must be one value" + " or more" * (name not in ONCE))
    return values


def configs(grid: Grid) -> list[Config]:
    """The runs of a grid in its order, each once: a config with one sampler and one seed."""
    found: dict[Config, None] = {}
    for values in product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        chosen |= {"sampler": (chosen["sampler"],), "hidden": tuple(chosen["hidden"])}
        config = Config(**chosen)
        config = replace(config, **{name: DEFAULTS[name] for name in _unheeded(config)})
        for seed in range(config.seed, config.seed + config.seeds):
            found[replace(config, seed=seed, seeds=1)] = None
    return list(found)


def _unheeded(config: Config) -> tuple[str, ...]:
    of_model = ("hidden",) if config.model == "cnn" else ()
    of_dataset = ("files",) if config.dataset == "digits" else ()
    return UNHEEDED[config.sampler[0]] + of_model + of_dataset


def columns(config: Config) -> Row:
    """What a run is, as a row; a field that it does not heed is None."""
    row = {name: value for name, value in asdict(config).items() if name in COLUMNS}
    row |= {"sampler": config.sampler[0], "hidden": ",".join(map(str, config.hidden))}
    return row | dict.fromkeys(_unheeded(config))
