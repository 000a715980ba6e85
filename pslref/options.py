"""Options of the command line, one for each field of Config, and what they mean."""

from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypeVar

import typer

from pslref.config import Config

Number = TypeVar("Number", int, float)

FIELDS = {field.name: field for field in fields(Config)}


def command(
    app: typer.Typer, *names: str, several: bool = False, **defaults: object
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command with these fields of Config as options.

    It receives them as its first argument: as a Config, or with `several`, where every option
    may have several values with commas, as a dict of those that were given.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        def run(**others: Any) -> None:
            given = {name: others.pop(name) for name in names}
            function(_values(given) if several else _config(given), **others)

        own = [
            p.replace(kind=Parameter.KEYWORD_ONLY)
            for p in list(signature(function).parameters.values())[1:]
        ]
        option = _several if several else _one
        parameters = [*(option(name, defaults) for name in names), *own]
        vars(run)["__signature__"] = Signature(parameters)
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(function.__name__, help=function.__doc__)(run)
        return function

    return register


def _one(name: str, defaults: dict[str, object]) -> Parameter:
    """The command line option of a field of Config; of a tuple, with commas or repeated."""
    default = defaults.get(name, FIELDS[name].default)
    if isinstance(default, tuple):
        return _named(name, list[str], [",".join(map(str, default))])
    return _named(name, type(default), default)


def _several(name: str, defaults: dict[str, object]) -> Parameter:
    """The option for several values of a field: None if it is not given."""
    default = FIELDS[name].default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return _named(name, str | None, None, show_default=shown)


def _named(name: str, kind: Any, default: object, **shown: Any) -> Parameter:
    text = FIELDS[name].metadata["help"]
    option = typer.Option(f"--{name.replace('_', '-')}", help=text, **shown)
    annotation = Annotated[kind, option]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _config(given: dict[str, Any]) -> Config:
    """The config of a command's options; of a tuple these are texts with commas."""
    for name, value in given.items():
        if isinstance(value, list):
            text = ",".join(value)
            given[name] = tuple(text.split(",") if name == "sampler" else numbers(name, text, int))
    return Config(**given)


def _values(given: dict[str, str | None]) -> dict[str, list[Any]]:
    """The values of those fields that were given; of hidden, which is one network, the widths."""
    grid: dict[str, list[Any]] = {}
    for name, text in given.items():
        kind = int if name == "hidden" else type(FIELDS[name].default)
        if text is not None:
            texts = [text] if name == "data_dir" else text.split(",")
            grid[name] = numbers(name, text, kind) if kind in (int, float) else texts
    return grid


def numbers(name: str, text: str, kind: type[Number]) -> list[Number]:
    """The numbers of a text with commas."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        whole = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name} = {text!r}: must be {whole} separated by commas") from None
