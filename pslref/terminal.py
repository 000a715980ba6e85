"""What the command line shows: progress, tables, JSON, and one sentence for a mistake."""

import json
import sys
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn, TextIO

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

_warned: set[tuple[str, int]] = set()


def progress() -> "Progress":
    """A progress bar on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def print_table(rows: Iterable[dict[str, str]]) -> None:
    """Print rows with equal keys under a header of these keys."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for row in rows:
        if not table.columns:
            for i, name in enumerate(row):
                table.add_column(name, justify="right" if i else "left", no_wrap=True)
        table.add_row(*row.values())
    Console().print(table)


def print_json(value: object) -> None:
    """Print one JSON value; NaN is not JSON, and an error."""
    print(json.dumps(value, indent=2, allow_nan=False))


def run(app: typer.Typer) -> NoReturn:
    """Run the command line and exit: 2 after a user's mistake, which is said in one sentence."""
    warnings.showwarning = _show_warning
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:
        code = _mistake(error.format_message())
    except OSError as error:
        code = _mistake(f"cannot use {error.filename}: {error.strerror}")
    except ValueError as error:
        code = _mistake(str(error))
    except (KeyboardInterrupt, typer.Abort):
        print("pslref: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _mistake(sentence: str) -> int:
    print(f"pslref: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One sentence for the first warning from a line of code, whatever its numbers."""
    if (filename, lineno) not in _warned:
        _warned.add((filename, lineno))
        print(f"pslref: {message}", file=sys.stderr)
