"""Options of the command line, one for each field of Config."""

import os
from collections.abc import Callable, Collection
from dataclasses import fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, NewType

import typer

from pslref import check
from pslref.app.config import SAMPLERS, Config
from pslref.app.grids import DEFAULTS, DRAWN, LDS, OF_SAMPLERS, OWN, TARGETS, refuse_unheeded
from pslref.check import Number

PathOption = NewType("PathOption", Path)  # of a Path, older Typers make "" the current folder

FIELDS = {field.name: field for field in fields(Config)}
SEEDS_HELP = "Number of seeds: SEED, SEED + 1, ..."


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
            if text is None:
                return None
            return check.number(text, of) if isinstance(of, type) else of(text)
        except ValueError:
            raise check.wrong(str(param.name), text, ALLOWED[of]) from None

    shown = f"<{of.__name__}>"
    return typer.Option(*names, help=help, metavar=shown, parser=str, callback=convert, **more)


def command(
    app: typer.Typer, *names: str, several: Collection[str] = (), **defaults: object
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command with these fields of Config as options, and `seeds` if it is named.

    It receives as its first argument a dict of those that were given, beside `defaults` of its own.
    Those in `several` may have several values, with commas or repeated, and are tuples there.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        def run(**others: Any) -> None:
            given = {name: others.pop(name) for name in names}
            given = {name: value for name, value in given.items() if value is not None}
            given |= {name: tuple(value) for name, value in given.items() if type(value) is list}
            refuse_unheeded(given, shown | given, (*OF_SAMPLERS, *OWN))
            function(defaults | given, **others)

        own = [
            p.replace(kind=Parameter.KEYWORD_ONLY)
            for p in list(signature(function).parameters.values())[1:]
        ]
        every = {"sampler": SAMPLERS} if "sampler" in several else {}
        shown = DEFAULTS | every | defaults
        parameters = [*(_parameter(name, shown[name], name in several) for name in names), *own]
        vars(run)["__signature__"] = Signature(parameters)
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(function.__name__, help=function.__doc__)(run)
        return function

    return register


def _parameter(name: str, default: object, several: bool) -> Parameter:
    """The command line option of a field, whose value is None if it is not given."""
    field: Any = FIELDS[name].metadata if name in FIELDS else {"help": SEEDS_HELP, "of": int}
    kind = field["of"]
    shown = ",".join(map(str, default)) if isinstance(default, tuple | list) else str(default)

    def convert(texts: list[str]) -> list[Any] | None:
        together = ",".join(texts)
        if texts:
            return together.split(",") if kind is str else numbers(name, together, kind)
        return None

    flag, text = f"--{name.replace('_', '-')}", f"{field['help']}  [default: {shown}]"
    if several or name == "hidden":
        commas = f"<{kind.__name__},...>"
        chosen = typer.Option(flag, help=text, metavar=commas, show_default=False, callback=convert)
        annotation: Any = Annotated[list[str], chosen]
        return Parameter(name, Parameter.KEYWORD_ONLY, default=[], annotation=annotation)
    of = kind if kind in ALLOWED else None
    annotation = Annotated[kind | None, option(text, flag, of=of, show_default=False)]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def numbers(name: str, text: str, kind: type[Number]) -> list[Number]:
    """The numbers of a text with commas."""
    try:
        return [check.number(part, kind) for part in text.split(",")]
    except ValueError:
        whole = "whole numbers" if kind is int else "numbers"
        raise check.wrong(name, text, f"must be {whole} separated by commas") from None


Json = Annotated[bool, option("Print one JSON object instead of tables.", "--json")]
Out = Annotated[PathOption | None, option("Folder for CSV, JSON and figures.", of=path)]
Figures = Annotated[str, option("What the figures in --out are written as: png, pdf or svg.")]
SCHEDULE = (*DRAWN, "batch_size", "sampler", "remainder", *LDS, *TARGETS, "seed")
NETWORK = ("model", "hidden", "cut", "dtype")
TRAINING = ("learning_rate", "momentum", "weight_decay", "epochs", "execution")
MODEL = (*NETWORK, *TRAINING)
Given = dict[str, Any]
