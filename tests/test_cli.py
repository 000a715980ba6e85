import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pslref import cli

ROOT = Path(__file__).parents[1]
SMALL = ["compare", "--clients", "8", "--epochs", "1", "--hidden", "8"]


def test_compare_json_is_one_object(pslref) -> None:
    code, out, _ = pslref(*SMALL, "--seeds", "1", "--sampler", "ugs,centralized", "--json")
    assert code == 0
    found = json.loads(out)
    assert found.keys() == {"made_by", "config", "results"}
    assert found["config"]["clients"] == 8
    assert [row["sampler"] for row in found["results"]] == ["ugs", "centralized"]
    assert found["results"][0].keys() >= {
        "sampler", "seed", "test_accuracy", "mean_deviation", "max_deviation", "num_steps",
        "simulated_time",
    }  # fmt: skip


def test_compare_json_with_faults_says_what_was_lost(pslref) -> None:
    options = [*SMALL, "--seeds", "1", "--sampler", "centralized,ugs", "--faults", "0,0.5"]
    found = json.loads(pslref(*options, "--json")[1])
    assert found["config"]["faults"] == [0, 0.5]
    assert [row["faults"] for row in found["results"]] == [0, 0, 0.5]
    assert found["results"][2].keys() >= {"unreachable", "aborted"}


def test_train_json_is_a_run_and_its_epochs(pslref) -> None:
    options = ["train", "--clients", "8", "--epochs", "2", "--hidden", "8"]
    found = json.loads(pslref(*options, "--json")[1])
    assert found.keys() == {"made_by", "config", "results", "epochs"}
    assert (found["config"]["sampler"], found["config"]["seeds"]) == (["ugs"], 1)
    assert [row["epoch"] for row in found["epochs"]] == [0, 1]


def test_deviation_and_stragglers_json_is_one_object(pslref) -> None:
    _, out, _ = pslref("deviation", "--clients", "16", "--sampler", "fls", "--json")
    found = json.loads(out)
    assert found.keys() == {"made_by", "config", "summary", "steps"}
    assert found["config"]["sampler"] == ["fls"]
    assert [len(found["steps"])] == [row["num_steps"] for row in found["summary"]]
    _, out, _ = pslref("stragglers", "--clients", "8", "--seeds", "1", "--delta", "3", "--json")
    found = json.loads(out)
    assert found["results"][0]["sampler"] == "ugs"
    assert found["config"]["delta"] == [3]


TINY = ["--clients", "8", "--hidden", "8", "--epochs", "1", "--seeds", "1", "--sampler", "ugs"]
DRAWING = {
    "compare": TINY,
    "deviation": ["--clients", "8", "--sampler", "ugs"],
    "stragglers": TINY,
    "sweep": TINY,
}


@pytest.mark.parametrize("command", DRAWING)
def test_figures_are_written_as_asked(pslref, command: str, tmp_path: Path) -> None:
    options = [command, *DRAWING[command], "--out", str(tmp_path)]
    code, out, _ = pslref(*options, "--figures", "svg")
    assert code == 0
    assert f"Written to {tmp_path}: {command}.svg, " in out
    (figure,) = tmp_path.glob(f"{command}.*g")
    assert figure.read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize("command", DRAWING)
def test_figures_that_cannot_be_drawn_are_refused_before_the_work(
    pslref, monkeypatch: pytest.MonkeyPatch, command: str, tmp_path: Path
) -> None:
    options = [command, *DRAWING[command], "--out", str(tmp_path)]
    code, _, err = pslref(*options, "--figures", "jpg")
    assert code == 2
    assert err.startswith("pslref: figures = 'jpg': must be one of png, pdf, svg")
    monkeypatch.setitem(sys.modules, "pslref.plots", None)  # as if a matplotlibrc forbade it
    monkeypatch.delattr("pslref.plots", raising=False)
    with pytest.raises(ImportError):
        CliRunner().invoke(cli.app, options, catch_exceptions=False)
    assert not list(tmp_path.iterdir())


def test_schedule_prints_every_sample_once(pslref, tmp_path: Path) -> None:
    options = ["schedule", "--sampler", "ugs,lds", "--clients", "8", "--epochs", "2"]
    code, out, _ = pslref(*options)
    assert code == 0
    rows = list(csv.DictReader(out.splitlines()))
    for sampler in ("ugs", "lds"):
        for epoch in ("0", "1"):
            mine = [r for r in rows if (r["sampler"], r["epoch"]) == (sampler, epoch)]
            assert sum(int(row["samples"]) for row in mine) == 1442
    code, printed, _ = pslref(*options, "--out", str(tmp_path))
    assert (code, printed) == (0, "")
    assert (tmp_path / "schedule.csv").read_text() == out
    assert json.loads(pslref(*options, "--json")[1])["schedule"][0]["epoch"] == 0


def test_a_learning_rate_that_diverges_is_one_sentence(pslref) -> None:
    code, _, err = pslref(*SMALL, "--learning-rate", "1e200")
    assert code == 2
    assert "sampler centralized, seed 0, epoch 0, step" in err
    assert "the loss is" in err


@pytest.mark.parametrize("arguments", [[], ["data"], ["oracle"]])
def test_without_a_command_the_help_is_printed(pslref, arguments: list[str]) -> None:
    code, out, err = pslref(*arguments)
    assert (code, err) == (0, "")
    assert "\nCommands:\n" in out


@pytest.mark.parametrize("command", ["compare", "deviation", "stragglers", "train"])
def test_help_shows_a_worked_example(pslref, command) -> None:
    code, out, _ = pslref(command, "--help")
    assert code == 0
    assert f"Example: pslref {command} --" in out


def test_the_checkout_runs_the_same_program() -> None:
    run = [sys.executable, str(ROOT / "cli.py"), "--help"]
    out = subprocess.run(run, capture_output=True, text=True, check=True, cwd="/").stdout
    assert "compare" in out
