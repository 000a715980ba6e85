"""What the command line shows: progress, tables, JSON, and one sentence for a mistake."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn, TextIO

import typer

from pslref import check

LONGEST = 1000  # letters of a sentence
UsageError: Any = typer.BadParameter.__base__  # click's, or that of newer Typers, without click

_warned: set[tuple[str, int]] = set()


class Stopped(Exception):
    """A signal made the command leave its work between two steps, or what it needs is gone."""

    def __init__(self, why: int | str, saved: bool, resumed: bool) -> None:
        said = why if isinstance(why, str) else f"{signal.Signals(why).name}: stopped"
        super().__init__(said + (f"; to go on: {_resume(resumed)}" if saved else ""))
        self.code = 2 if isinstance(why, str) else 128 + why


def _resume(resumed: bool) -> str:
    """The command line that goes on where this one was stopped, for a shell of this system."""
    command, *options = sys.argv[1:]
    program = sys.orig_argv[: -len(sys.argv[1:])]
    words = [*program, command, *([] if resumed else ["--resume"]), *options]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of ending at once; whoever sends more insists.

    A signal often comes twice, to the process and to its group. One that comes more than a second
    after the first ends the work at once.
    """
    received: list[int] = []
    times: list[float] = []

    def collect(number: int, frame: object) -> None:
        received.append(number)
        times.append(time.monotonic())
        if times[-1] > times[0] + 1:
            raise KeyboardInterrupt

    before = {n: signal.signal(n, collect) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(what: str, total: float) -> Iterator[Callable[..., None]]:
    """A progress bar on standard error, if that is a terminal; it goes on by one with each call.

    What is yielded also takes, by name, what `rich.progress.Progress.update` does.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    bar = Progress(
        console=console,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else rich would print it to standard error
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda **state: bar.update(task, **(state or {"advance": 1}))


def print_table(rows: Iterable[dict[str, str]]) -> None:
    """Print rows with equal keys under a header of these keys, less the columns without a text."""
    from rich.console import Console
    from rich.table import Table

    shown = list(rows)
    names = [name for name in shown[0] if any(row[name] for row in shown)]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for i, name in enumerate(names):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in shown:
        table.add_row(*(row[name] for name in names))
    Console(width=LONGEST).print(table)  # the table is as wide as it must be; a number is whole


def print_written(out: Path | None, names: str) -> None:
    """Print what was written to a folder, if there is one."""
    if out is not None:
        print(f"Written to {out}: {names}")


def print_json(told: Mapping[str, Any] | None = None, **found: object) -> None:
    """Print one JSON object, with what was run and made it; NaN is not JSON, and an error."""
    from pslref.versions import MADE_BY

    config = {"made_by": MADE_BY, **(told or {})}
    made = {"made_by": config.pop("made_by")} | ({"config": config} if config else {})
    print(json.dumps(made | found, indent=2, allow_nan=False))


def print_versions() -> None:
    """Print all that the bits of a result depend on, a line each."""
    from pslref.versions import MADE_BY

    for name, version in MADE_BY.items():
        print(name, version)


def run(app: typer.Typer) -> NoReturn:
    """Run the command line and exit: 2 after what the user can mend, said in one sentence.

    Exit code 1 means that nobody reads standard output any more, or that a run of a sweep failed;
    130 and 143, SIGINT and SIGTERM.
    """
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGTERM, _terminate)
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files alone, whatever shell this is
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed from the beginning
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file's name, or Δ, that cannot be encoded
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
        if code == 128 + signal.SIGINT:  # what newer Typers make of Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()  # a closed pipe or a full disk may show only here
    except UsageError as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else sys.argv[0]
        message = error.format_message().rstrip(".?")
        code = _say(f"{message}: `{command} --help` shows what is allowed")
    except BrokenPipeError:  # what is usual: to end without a word
        code = _leave_stdout(1)
    except OSError as error:
        if error.filename is None:
            code = _leave_stdout(_say(f"cannot write the output: {error.strerror or error}"))
        else:
            code = _say(f"cannot use {error.filename}: {error.strerror}")
    except ValueError as error:
        code = _say(str(error))
    except MemoryError as error:
        code = _say(f"not enough memory: {error}")
    except (KeyboardInterrupt, typer.Abort):
        code = _say("interrupted", 128 + signal.SIGINT)
    except Stopped as stopped:
        code = stopped.code
        # To the letter, and to the byte: no stream's encoding has all names of files.
        sys.stderr.buffer.write(os.fsencode(f"pslref: {stopped}\n"))
    sys.exit(code)


def _say(sentence: str, code: int = 2) -> int:
    line = check.one_line(sentence)
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    print(f"pslref: {line}", file=sys.stderr)
    return code


def _leave_stdout(code: int) -> int:
    # What is still to be written would fail again when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _terminate(number: int, frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # a second one ends at once
    sys.exit(128 + number)  # through all that is open, so that no half-written file stays


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
