"""Options of the command line, one for each field of Config, and what they mean."""

import os
from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, NewType, TypeVar

import typer

from pslref import check
from pslref.config import Config

Number = TypeVar("Number", int, float)
PathOption = NewType("PathOption", Path)  # of a Path, older Typers make "" the current folder

FIELDS = {field.name: field for field in fields(Config)}


def path(text: str) -> Path:
    """A path that is not empty, as of an unset variable: Python would take the current folder.

    A ~ is the home folder, also where a shell leaves it, as in --out=~/results.
    """
    expanded = os.path.expanduser(text)
    if not text or expanded.startswith("~"):  # of a user that does not exist
        raise ValueError
    return Path(expanded)


ALLOWED: dict[Callable[[str], object], str] = {
    int: "must be a whole number",
    float: "must be a number",
    path: "must be a path; ~name is the home folder of a user",
}


def option(help: str, *names: str, of: Callable[[str], object] | None = None, **more: Any) -> Any:
    """An option; `of`, one of `ALLOWED`, makes its value.

    Not the type of the parameter does, since Typer's own sentence would not show what was given.
    """
    if of is None:
        return typer.Option(*names, help=help, **more)

    def convert(param: typer.CallbackParam, text: str | None) -> object:
        try:
            return None if text is None else of(text)
        except ValueError:
            raise check.wrong(str(param.name), text, ALLOWED[of]) from None

    shown = f"<{of.__name__}>"
    return typer.Option(*names, help=help, metavar=shown, parser=str, callback=convert, **more)


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
        parameter = _several if several else _one
        parameters = [*(parameter(name, defaults) for name in names), *own]
        vars(run)["__signature__"] = Signature(parameters)
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(function.__name__, help=function.__doc__)(run)
        return function

    return register


def _one(name: str, defaults: dict[str, object]) -> Parameter:
    """The command line option of a field of Config; of a tuple, with commas or repeated."""
    default = defaults.get(name, FIELDS[name].default)
    if isinstance(default, tuple):
        return _named(name, list[str], [",".join(map(str, default))] if default else [])
    return _named(name, type(default), default)


def _several(name: str, defaults: dict[str, object]) -> Parameter:
    """The option for several values of a field: None if it is not given."""
    default = FIELDS[name].default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return _named(name, str | None, None, show_default=shown)


def _named(name: str, kind: Any, default: object, **shown: Any) -> Parameter:
    text, names = FIELDS[name].metadata["help"], f"--{name.replace('_', '-')}"
    annotation = Annotated[kind, option(text, names, of=kind if kind in ALLOWED else None, **shown)]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _config(given: dict[str, Any]) -> Config:
    """The config of a command's options; of a tuple these are texts with commas."""
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(_parts(name, ",".join(value)) if value else ())
    return Config(**given)


def _values(given: dict[str, str | None]) -> dict[str, list[Any]]:
    """The values of those fields that were given; of hidden, which is one network, the widths."""
    return {name: _parts(name, text) for name, text in given.items() if text is not None}


def _parts(name: str, text: str) -> list[Any]:
    """The values between commas, which a folder's name may hold."""
    kind = FIELDS[name].metadata["of"]
    if kind is str:
        return [text] if name == "data_dir" else text.split(",")
    return numbers(name, text, kind)


def numbers(name: str, text: str, kind: type[Number]) -> list[Number]:
    """The numbers of a text with commas."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        whole = "whole numbers" if kind is int else "numbers"
        raise check.wrong(name, text, f"must be {whole} separated by commas") from None
