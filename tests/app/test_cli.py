import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pslref.app import cli
from pslref.app.config import Config

ROOT = Path(__file__).parents[2]
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
    assert [row["faults"] for row in found["results"]] == [None, 0, 0.5]
    assert found["results"][2].keys() >= {"unreachable", "aborted"}


def test_train_json_is_a_run_and_its_epochs(pslref) -> None:
    options = ["train", "--clients", "8", "--epochs", "2", "--hidden", "8"]
    found = json.loads(pslref(*options, "--json")[1])
    assert found.keys() == {"made_by", "config", "results", "epochs"}
    assert (found["config"]["sampler"], found["config"]["seed"]) == ("ugs", 0)
    assert [row["epoch"] for row in found["epochs"]] == [0, 1]


def test_deviation_and_plan_json_is_one_object(pslref) -> None:
    _, out, _ = pslref("deviation", "--clients", "16", "--sampler", "fls", "--json")
    found = json.loads(out)
    assert found.keys() == {"made_by", "config", "summary", "steps"}
    assert found["config"]["sampler"] == "fls"
    assert [len(found["steps"])] == [row["num_steps"] for row in found["summary"]]
    _, out, _ = pslref("plan", "--clients", "8", "--seeds", "1", "--delta", "3", "--json")
    found = json.loads(out)
    assert found["results"][0]["sampler"] == "ugs"
    assert found["results"][0].keys() >= {
        "sampler", "batch_size", "delta", "concentration", "slack", "assign", "num_steps",
        "epoch_time", "least_time", "mean_deviation", "max_deviation", "participants", "pareto",
    }  # fmt: skip
    assert found["config"]["delta"] == 3


TINY = ["--clients", "8", "--hidden", "8", "--seeds", "1", "--sampler", "ugs"]
DRAWING = {
    "compare": [*TINY, "--epochs", "1"],
    "deviation": ["--clients", "8", "--sampler", "ugs"],
    "plan": TINY,
    "sweep": [*TINY, "--epochs", "1"],
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
    monkeypatch.delattr(sys.modules["pslref.app"], "plots")
    monkeypatch.setitem(sys.modules, "pslref.app.plots", None)  # as if a matplotlibrc forbade it
    with pytest.raises(ImportError):
        CliRunner().invoke(cli.app, options, catch_exceptions=False)
    assert not list(tmp_path.iterdir())


def test_a_tilde_is_the_home_folder_also_where_the_shell_leaves_it(
    pslref, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert pslref("schedule", "--clients", "8", "--out=~/a/b")[0] == 0
    assert (tmp_path / "a" / "b" / "schedule.csv").exists()
    code, out, _ = pslref("oracle", "export", "~/vectors")
    assert code == 0
    assert out.startswith(str(tmp_path / "vectors"))
    for command in (["schedule", "--dataset", "cifar10"], ["data", "get", "digits"]):
        _, _, err = pslref(*command, "--data-dir=~/c")
        assert "~" not in err
    assert Config(data_dir="~/c").data_dir == str(tmp_path / "c")


@pytest.mark.parametrize("name", ["gpsl", "GPSL", "UGS"])
def test_another_name_of_a_sampler_is_hinted_at(pslref, name: str) -> None:
    code, _, err = pslref("compare", "--sampler", name)
    assert code == 2
    assert err.endswith("(did you mean 'ugs'?)\n")


def test_the_splits_say_what_they_are(pslref) -> None:
    shown = " ".join(pslref("compare", "--help")[1].split())
    assert "mild and severe (each client holds 5 or 2 of the classes" in shown
    _, _, err = pslref("compare", "--clients", "4")
    assert err == (
        "pslref: clients = 4: must be 5 or more, if severe: each client holds 2 of the classes, "
        "and none may be left over\n"
    )


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


@pytest.mark.parametrize("command", ["compare", "deviation", "plan", "sweep", "train"])
def test_help_shows_a_worked_example(pslref, command) -> None:
    code, out, _ = pslref(command, "--help")
    assert code == 0
    assert f"Example: pslref {command} --" in out


def test_the_checkout_runs_the_same_program() -> None:
    run = [sys.executable, str(ROOT / "cli.py"), "--help"]
    out = subprocess.run(run, capture_output=True, text=True, check=True, cwd="/").stdout
    assert "compare" in out
