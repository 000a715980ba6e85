"""What every test shares: seeds from the test's name, and one budget of false alarms."""

import signal
import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import settings
from matplotlib.figure import Figure

from pslref.app import cli
from pslref.app.pictures import save

# Hypothesis draws its examples from a seed of the test's own name: the same ones every time.
settings.register_profile("pslref", derandomize=True, deadline=None)
settings.load_profile("pslref")

# A job in a shell's background ignores Ctrl-C, and so would all programs that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

BUILT = cache(typer.main.get_command)

# A randomized test may accuse right code with this probability, and asks for it as `alpha`.
ALPHA = 1e-8
MOST_RANDOMIZED = 100  # so that the suite stays under 1e-6


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    randomized = [item for item in items if "alpha" in getattr(item, "fixturenames", ())]
    assert len(randomized) <= MOST_RANDOMIZED, "the suite's budget of false alarms is spent"


@pytest.fixture
def alpha() -> float:
    return ALPHA


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(autouse=True)
def built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To build the commands takes Typer most of the time, and they remember nothing."""
    monkeypatch.setattr(typer.main, "get_command", BUILT)


@pytest.fixture
def pslref(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cli.py", *arguments])
        monkeypatch.setattr(sys, "orig_argv", ["python", "cli.py", *arguments])
        monkeypatch.setenv("MPLBACKEND", "agg")  # as the command does, and undone after the test
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures that are saved, by the names of their files, as they are saved."""
    figures: dict[str, Figure] = {}

    def keeping(figure: Figure, path: Path) -> None:
        figures[path.name] = figure
        save(figure, path)

    monkeypatch.setattr("pslref.app.pictures.save", keeping)
    return figures
