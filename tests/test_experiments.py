import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy.stats import binom, binomtest, ttest_1samp, ttest_rel

from pslref import checkpoints, data, experiments, plots, scenario
from pslref.config import SAMPLERS, Config
from pslref.split import Diverged
from tests.drawn import assert_same, drawn, table

SMALL = Config(clients=8, epochs=2, seeds=2, hidden=(8,))


def test_results_do_not_depend_on_which_samplers_and_seeds_run_or_in_what_order() -> None:
    def rows(config: Config) -> list[dict]:
        return sorted(experiments.compare(config).runs, key=lambda r: (r["sampler"], r["seed"]))

    every = rows(SMALL)
    assert rows(replace(SMALL, sampler=SAMPLERS[::-1])) == every
    alone = rows(replace(SMALL, sampler=("lds",), seed=1, seeds=1))
    assert alone == [row for row in every if (row["sampler"], row["seed"]) == ("lds", 1)]


def test_tables_and_picture_are_written_and_agree_with_the_results(
    tmp_path: Path, pictures: dict[str, Figure]
) -> None:
    epochs_done = []
    results = experiments.compare(SMALL, out=tmp_path, after_epoch=lambda: epochs_done.append(1))
    assert len(epochs_done) == len(SAMPLERS) * 2 * 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "compare.png", "config.json", "epochs.csv", "results.csv", "steps.csv",
    }  # fmt: skip
    for name in ("runs", "epochs", "steps"):
        written = table(tmp_path / f"{'results' if name == 'runs' else name}.csv")
        assert written == getattr(results, name)
    assert json.loads((tmp_path / "config.json").read_text())["clients"] == 8
    epochs, steps = (table(tmp_path / name) for name in ("epochs.csv", "steps.csv"))
    assert_same(pictures["compare.png"], plots.compare(epochs, steps).figure)


def test_faults_give_every_sampler_a_row_for_each_share_and_centralized_one(tmp_path) -> None:
    config = replace(SMALL, sampler=("centralized", "fls", "ugs"), seeds=2)
    found = experiments.compare(replace(config, faults=(0.5, 0.0)), out=tmp_path)
    alone = experiments.compare(config)
    for rows, same in [(found.runs, alone.runs), (found.epochs, alone.epochs)]:
        whole = [row for row in rows if not row["faults"]]
        assert [[row[key] for key in one] for row, one in zip(whole, same, strict=True)] == [
            list(one.values()) for one in same
        ]
    rows = experiments.summary(found.runs)
    assert [(row["sampler"], row["faults"], row["seeds"]) for row in rows] == [
        ("centralized", 0, 2), ("fls", 0.5, 2), ("fls", 0, 2), ("ugs", 0.5, 2), ("ugs", 0, 2),
    ]  # fmt: skip
    assert [row["unreachable"] > 0 for row in rows] == [False, True, False, True, False]
    assert {path.name for path in tmp_path.iterdir()} == {
        "faults.png", "config.json", "epochs.csv", "results.csv", "steps.csv",
    }  # fmt: skip
    assert json.loads((tmp_path / "config.json").read_text())["faults"] == [0.5, 0.0]
    for name in ("results.csv", "epochs.csv", "steps.csv"):
        with (tmp_path / name).open() as file:
            assert {row["faults"] for row in csv.DictReader(file)} == {"0.0", "0.5"}


def test_the_picture_of_faults_draws_means_over_the_seeds_against_the_share_lost(
    tmp_path: Path, pictures: dict[str, Figure]
) -> None:
    config = replace(SMALL, epochs=1, sampler=("ugs", "centralized", "fls"))
    experiments.compare(replace(config, faults=(0.5, 0.0, 0.25)), out=tmp_path)
    rows = table(tmp_path / "results.csv")
    panels = drawn(pictures["faults.png"])
    columns = [
        ("test_accuracy", "test accuracy in %", 100),
        ("mean_deviation", "mean batch deviation Δ", 1),
    ]
    for panel, (column, title, unit) in zip(panels, columns, strict=True):
        assert (panel.title, panel.ylabel) == (title, "mean over the seeds")
        assert panel.xlabel == "clients lost by the end, %"
        assert panel.lines.keys() == set(panel.legend) == set(config.sampler)
        for sampler, line in panel.lines.items():
            means = []
            for lost in (0, 0.25, 0.5):
                run = sampler, (0 if sampler == "centralized" else lost)  # it has none to lose
                values = [row[column] for row in rows if (row["sampler"], row["faults"]) == run]
                assert len(values) == 2
                means.append(unit * sum(values) / 2)
            np.testing.assert_allclose(line, [[0, 25, 50], means])
            assert panel.looks[sampler][0] == to_hex(plots.STYLES[sampler]["color"])
        assert panel.all_is_seen()


def test_a_run_that_diverges_names_itself_and_keeps_what_was_written(tmp_path: Path) -> None:
    experiments.compare(replace(SMALL, sampler=("ugs",)), out=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(Diverged, match=r"sampler ugs, seed 0, epoch \d, step \d+: the loss is"):
        experiments.compare(replace(SMALL, sampler=("ugs",), learning_rate=1e200), out=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_whose_last_step_leaves_no_usable_weights_has_diverged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every loss was finite; only the evaluation shows it."""
    config = replace(SMALL, sampler=("ugs",), batch_size=1442, learning_rate=1e308, epochs=1)
    with pytest.raises(
        Diverged, match=r"seed 0, epoch 0, the sum of all images' largest logits is"
    ):
        experiments.compare(config)
    with pytest.raises(
        Diverged, match=r"seed 0, epoch 0, the sum of all images' largest logits is"
    ):
        experiments.compare(replace(config, faults=(0.1,)))


def fake_runs(accuracies: dict[str, list[float]]) -> list[dict]:
    rest = {"mean_deviation": 0.2, "max_deviation": 0.4, "num_steps": 9, "megabytes": 1.0,
            "simulated_time": 5.0, "test_images": 355}  # fmt: skip
    return [
        {"sampler": sampler, "seed": seed, "test_accuracy": accuracy, **rest}
        for sampler, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


def test_the_interval_adds_what_seeds_and_test_images_leave_open() -> None:
    centralized, ugs = [0.90, 0.92, 0.94], [0.89, 0.93, 0.92]
    row = experiments.summary(fake_runs({"centralized": centralized, "ugs": ugs}))[1]
    student = ttest_rel(ugs, centralized).confidence_interval(0.95)
    images = 1.96 * np.sqrt((0.02 / 3) / 355 + (1.96 / 355) ** 2)
    half = np.hypot((student.high - student.low) / 2, images)
    ends = (-0.02 / 3 - half, -0.02 / 3 + half)
    assert (row["low"], row["high"]) == pytest.approx(ends, abs=0.001)
    assert row["low"] <= ends[0] + 1e-6
    assert row["high"] >= ends[1] - 1e-6
    assert row["std"] == pytest.approx(np.std(ugs, ddof=1))


@pytest.mark.parametrize("num_images", [20, 355])
def test_the_same_few_images_in_every_seed_are_no_clear_difference(num_images: int) -> None:
    """An interval leaves out 0 only where McNemar's exact test does, all images one way."""
    clear = []
    for wrong in range(20):
        low, high = experiments.interval(np.full(3, -wrong / num_images), num_images)
        clear.append(high < 0)
        assert low <= -wrong / num_images <= high
        assert binomtest(wrong, max(wrong, 1)).pvalue < 0.05 or not clear[-1]
    assert clear == [wrong >= 7 for wrong in range(20)]


@given(st.lists(st.integers(-40, 40), min_size=2, max_size=6), st.sampled_from([40, 355, 10_000]))
def test_an_interval_is_never_narrower_than_seeds_or_test_images_allow(
    images: list[int], num_images: int
) -> None:
    differences = np.array(images) / num_images
    low, high = experiments.interval(differences, num_images)
    assert -1 <= low <= differences.mean() <= high <= 1
    student = ttest_1samp(differences, 0).confidence_interval(0.95) if differences.std() else None
    if student is not None:
        assert low <= max(student.low, -1)
        assert high >= min(student.high, 1)
    assert high - low >= min(2 * 1.95**2 / num_images, 1)
    other = experiments.interval(-differences, num_images)
    assert other == pytest.approx((-high, -low), abs=0.0011)
    assert f"{100 * low:+.1f}" == f"{round(100 * low, 1):+.1f}"  # what is printed is the end


def test_the_interval_holds_the_difference_in_95_of_100_cases_at_the_worst_rate() -> None:
    """One way, the same images in every seed: the law of the count is binomial, so exact."""
    for num_images in (50, 355):
        counts = np.arange(num_images + 1)
        ends = [experiments.interval(np.full(2, k / num_images), num_images) for k in counts]
        low, high = np.transpose(ends)
        for rate in np.geomspace(0.001, 0.99, 100):
            held = (low <= rate) & (rate <= high)
            assert binom.pmf(counts, num_images, rate)[held].sum() > 0.95


def test_the_interval_holds_the_difference_where_seeds_and_images_are_drawn(
    rng: np.random.Generator, alpha: float
) -> None:
    """2 % of the images wrong in every seed, and 4 % more, either way, in each on its own.

    It shows a coverage of 90 % or less: of 2,000 intervals at least 92 % must hold. False alarm:
    below 1e-8 for a coverage of 95 %.
    """
    num_images, repeats = 355, 2_000
    assert binom.cdf(0.92 * repeats, repeats, 0.95) < alpha
    held = 0
    for _ in range(repeats):
        always = rng.random(num_images) < 0.02
        once = rng.choice([-1, 0, 1], size=(3, num_images), p=[0.02, 0.96, 0.02])
        low, high = experiments.interval(np.where(always, -1, once).mean(axis=1), num_images)
        held += low <= -0.02 <= high
    assert held >= 0.92 * repeats


def test_the_verdict_follows_the_numbers() -> None:
    runs = {
        "centralized": [0.90, 0.92, 0.94],
        "fls": [0.50, 0.52, 0.55],
        "ugs": [0.91, 0.91, 0.94],
        "lds": [0.95, 0.97, 0.99],
    }
    sentence = experiments.verdict(experiments.summary(fake_runs(runs)))
    assert sentence == (
        "Accuracy over 3 seeds beside centralized training, "
        "clearly below it: fls -39.7 points (95 % interval -46.5 to -32.8); "
        "clearly above it: lds +5.0 points (95 % interval +2.4 to +7.6); "
        "not told apart from it, but a difference of up to so many points could be hidden: "
        "ugs 2.8."
    )


def test_an_interval_that_ends_at_zero_tells_nothing_apart() -> None:
    rows = experiments.summary(fake_runs({"centralized": [0.9, 0.9], "ugs": [0.8, 0.9]}))
    for low, high in [(0.0, 0.1), (-0.1, 0.0)]:
        rows[1] |= {"low": low, "high": high}
        assert "clearly" not in experiments.verdict(rows)


def test_an_interval_that_holds_nearly_everything_says_so() -> None:
    runs = {"centralized": [0.9, 0.9], "fls": [0.2, 0.6]}
    sentence = experiments.verdict(experiments.summary(fake_runs(runs)))
    assert sentence.endswith("a difference of up to so many points could be hidden: fls 100.0.")


def test_one_seed_or_no_baseline_gives_no_interval() -> None:
    one = experiments.summary(fake_runs({"centralized": [0.9], "ugs": [0.8]}))
    assert one[1]["difference"] == pytest.approx(-0.1)
    assert (one[1]["low"], one[1]["std"]) == (None, None)
    alone = experiments.summary(fake_runs({"ugs": [0.8, 0.9]}))
    assert alone[0]["difference"] is None
    for rows in (one, alone):
        assert "needs centralized, another sampler, and at least two seeds" in (
            experiments.verdict(rows)
        )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sampler": ("ugs", "uggs")}, r"sampler = 'uggs': .*did you mean 'ugs'"),
        ({"epochs": 0}, "epochs = 0: must be"),
        ({"seeds": 0}, "seeds = 0: must be"),
        ({"seed": -1}, "seed = -1: must be"),
        ({"hidden": (8, 0)}, "hidden = 0: must be"),
        ({"model": "cnnn"}, "model = 'cnnn': .*did you mean 'cnn'"),
        ({"assign": "slowest"}, "assign = 'slowest': .*did you mean 'slowest-first'"),
        ({"slack": 0.1, "assign": "balanced"}, "slack = 0.1: must be 0 unless assign = 'slowest-f"),
        ({"sample_cost": -1.0}, "sample_cost = -1.0: must be"),
        ({"dtype": "float16"}, "dtype = 'float16': must be one of float32, float64"),
    ],
)
def test_a_config_that_cannot_be_run_is_refused(change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(SMALL, **change)


ONE = replace(SMALL, sampler=("lds",), seeds=1, seed=1, momentum=0.9)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_train_does_what_compare_does_and_keeps_the_weights(tmp_path: Path) -> None:
    compared = experiments.compare(replace(ONE, sampler=("ugs", "lds")), out=tmp_path / "compare")
    run = experiments.train(replace(ONE, seeds=3), out=tmp_path / "train")
    assert json.loads((tmp_path / "train" / "config.json").read_text())["seeds"] == 1
    mine = [row for row in compared.epochs if row["sampler"] == "lds"]
    assert run.results().epochs == mine
    assert run.results().runs == [row for row in compared.runs if row["sampler"] == "lds"]
    assert sorted(contents(tmp_path / "train")) == [
        "config.json", "epochs.csv", "results.csv", "steps.csv", "weights.npz",
    ]  # fmt: skip
    dataset = data.load("digits")
    net = scenario.network(ONE, dataset, np.random.default_rng(0))
    with np.load(tmp_path / "train" / "weights.npz", allow_pickle=False) as weights:
        for name, array in net.parameters().items():
            array[...] = weights[name]
    right = net.forward(dataset.x_test)[0].argmax(axis=1) == dataset.y_test
    assert right.mean() == pytest.approx(mine[-1]["test_accuracy"])


def test_train_loses_clients_as_compare_does(tmp_path: Path) -> None:
    lossy = replace(ONE, faults=(0.5,))
    (row,) = experiments.train(lossy).results().runs
    assert row["unreachable"] > 0
    assert [row] == experiments.compare(lossy).runs
    with pytest.raises(
        ValueError, match=r"^faults = \(0.5, 0.1\): must be one share to train with$"
    ):
        experiments.train(replace(ONE, faults=(0.5, 0.1)))


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    config = Config(clients=8, epochs=1, sampler=("lds",))
    experiments.train(config, out=tmp_path / "here")
    again = ["train", "--clients", "8", "--epochs", "1", "--sampler", "lds"]
    there = [sys.executable, "cli.py", *again, "--out", str(tmp_path / "there")]
    root, other_hashes = Path(__file__).parents[1], os.environ | {"PYTHONHASHSEED": "1"}
    subprocess.run(there, cwd=root, env=other_hashes, stdout=subprocess.DEVNULL, check=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def left_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps))
    return lambda: next(asked, None) is None


@pytest.mark.parametrize("every", [None, 5])
def test_a_run_left_and_taken_up_writes_what_one_in_one_piece_writes(
    every: int | None, tmp_path: Path
) -> None:
    whole, parts, folder = tmp_path / "whole", tmp_path / "parts", tmp_path / "checkpoint"
    experiments.train(ONE, out=whole)
    options = {"checkpoint": folder, "every": every, "out": parts}
    (folder).mkdir()
    (folder / ".pslref-1234").write_text("half a checkpoint, of a process that was killed")
    assert not experiments.train(ONE, resume=True, stop=left_after(3), **options).finished
    assert list(contents(folder)) == ["checkpoint.npz"]
    assert not parts.exists()
    assert not experiments.train(ONE, resume=True, stop=left_after(30), **options).finished
    assert experiments.train(ONE, resume=True, **options).finished
    assert contents(parts) == contents(whole)
    assert list(contents(folder)) == ["checkpoint.npz"]
    assert experiments.train(ONE, resume=True, **options).finished  # once more: nothing to do
    assert contents(parts) == contents(whole)


def test_a_finished_run_goes_on_when_the_epochs_are_raised(tmp_path: Path) -> None:
    whole = experiments.train(replace(ONE, epochs=3), out=tmp_path / "whole")
    experiments.train(ONE, checkpoint=tmp_path / "c")
    more = replace(ONE, epochs=3)
    run = experiments.train(more, checkpoint=tmp_path / "c", resume=True, out=tmp_path / "parts")
    assert run.results() == whole.results()
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_checkpoints_are_written_when_they_are_due(tmp_path: Path, monkeypatch) -> None:
    written = []
    monkeypatch.setattr(checkpoints, "write", lambda path, run: written.append(run.num_steps))
    experiments.train(ONE, checkpoint=tmp_path)
    assert written == [23, 46]
    written.clear()
    experiments.train(ONE, checkpoint=tmp_path, every=20)
    assert written == [20, 40, 46]


def test_a_checkpoint_is_never_overwritten_by_another_run(tmp_path: Path) -> None:
    experiments.train(ONE, checkpoint=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"must be a folder without checkpoint\.npz, or go on"):
        experiments.train(ONE, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="is of a run with seed = 1, not seed = 2"):
        experiments.train(replace(ONE, seed=2), checkpoint=tmp_path, resume=True)
    (tmp_path / "checkpoint.npz").write_bytes(before["checkpoint.npz"][:-1])
    with pytest.raises(ValueError, match=r"checkpoint\.npz is no checkpoint that can be used"):
        experiments.train(ONE, checkpoint=tmp_path, resume=True)
    assert contents(tmp_path) == {"checkpoint.npz": before["checkpoint.npz"][:-1]}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"every": 0, "checkpoint": Path("c")}, "every = 0: must be"),
        ({"every": 1}, "checkpoint = None: must be a folder"),
        ({"resume": True}, "checkpoint = None: must be a folder"),
        ({"checkpoint": Path(__file__)}, "checkpoint = .*: must be a folder that can be written"),
        ({"out": Path(__file__)}, "out = .*: must be a folder that can be written"),
    ],
)
def test_train_refuses_what_it_cannot_do(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        experiments.train(ONE, **options)


def test_train_wants_one_sampler() -> None:
    with pytest.raises(ValueError, match=r"sampler = \('ugs', 'lds'\): must name one"):
        experiments.train(replace(ONE, sampler=("ugs", "lds")))


def test_a_run_that_diverges_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    wild = replace(ONE, learning_rate=1e155, epochs=9)
    with pytest.raises(Diverged, match=r"epoch \d, step \d+: the loss is"):
        experiments.train(wild, checkpoint=tmp_path, every=1)
    assert list(contents(tmp_path)) == ["checkpoint.npz"]
