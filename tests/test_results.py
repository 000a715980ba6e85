"""What results/ says can be run today, and what its pictures show is in its tables."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import matplotlib as mpl
import pytest

from pslref.app import cli, grids
from pslref.app.pictures import save
from tests.drawn import table
from tools.redraw import RESULTS, pictures, redrawn

README = (RESULTS / "README.md").read_text("utf-8")
DRAWN_BY = "3.11."  # the Matplotlib that drew what is committed; another one sets text otherwise


def commands(folder: Path) -> list[list[str]]:
    """The arguments of each `pslref` in results/commands.sh, which is run, and in the README."""
    found = folder / "found"
    for name in ("pslref", "python"):  # in place of the real ones
        (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" "" >> "{found}"\n')
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    script = RESULTS / "commands.sh"
    subprocess.run(["bash", str(script)], check=True, cwd=folder, env=os.environ | {"PATH": path})
    parts = [part.split("\n") for part in found.read_text("utf-8").strip().split("\n\n")]
    shown = re.findall(r"^pslref (?:.*\\\n)*.*", README, re.MULTILINE)
    return [part[1:] for part in parts if part[0] == "pslref"] + [
        shlex.split(command.replace("\\\n", " "))[1:] for command in shown
    ]


class ReachedError(Exception):
    """The options were right."""


@pytest.mark.skipif(shutil.which("bash") is None, reason="commands.sh needs bash")
def test_every_command_is_one_of_today_and_every_folder_has_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = grids.configs

    def checked(*args: object) -> None:
        configs(*args)
        raise ReachedError

    monkeypatch.setattr(grids, "configs", checked)
    folders = set()
    for arguments in commands(tmp_path):
        with pytest.raises(ReachedError):
            cli.app(arguments, standalone_mode=False)
        folders.add(arguments[arguments.index("--out") + 1])
    written = {path.parent for path in RESULTS.glob("*/**/*.csv")} - {
        RESULTS / name for name in ("oracle", "within-class")
    }
    assert folders == {path.relative_to(RESULTS.parent).as_posix() for path in written}


def test_every_picture_is_shown() -> None:
    shown = {RESULTS / link for link in re.findall(r"!\[.*\]\((.*)\)", README)}
    assert shown <= set(pictures()) <= shown | {RESULTS / "cifar10-severe-resnet" / "sweep.png"}


@pytest.mark.skipif(not mpl.__version__.startswith(DRAWN_BY), reason=f"drawn by {DRAWN_BY}x")
@pytest.mark.parametrize("path", pictures(), ids=lambda path: path.parent.name)
def test_a_picture_shows_what_is_in_its_tables(path: Path, tmp_path: Path) -> None:
    """To the pixel; but of single steps, the last panel of compare.png, which no table has."""
    if path.stem == "deviation":
        pytest.skip("shows single steps alone")
    tables, width = {}, None
    if path.stem == "compare":
        runs = [(row["sampler"], row["seed"]) for row in table(path.parent / "results.csv")]
        steps = [{"sampler": s, "seed": seed, "step": 100, "deviation": 0.0} for s, seed in runs]
        tables["steps"] = steps
    picture = redrawn(path.parent, tables)
    save(picture, tmp_path / path.name)
    if path.stem == "compare":
        width = int(picture.axes[2].get_tightbbox().x0)
    committed, drawn = (mpl.image.imread(each)[:, :width] for each in (path, tmp_path / path.name))
    assert committed.shape == drawn.shape
    assert (committed == drawn).all()
