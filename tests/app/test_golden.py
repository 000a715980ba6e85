"""Numbers and tables written down: no random stream, default or formula moves unseen.

Who means to move one writes the new ones here, and says so in the commit. The files in golden/ are
a command and what it prints; the numbers below are those of seed 0 or 1 on the digits.
"""

import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pslref.app.compare import compare
from pslref.app.config import Config
from pslref.app.deviation import deviation
from pslref.app.grids import Row, configs
from pslref.app.plan import plan
from pslref.app.sweep import sweep

NAMES = ("mean_deviation", "max_deviation", "num_steps", "simulated_time", "megabytes")
IMAGES = 355

# Right answers after the last epoch, its loss, and NAMES.
DEFAULTS = {
    "centralized": (338, 0.19606412436194945, 0.2861350745448032, 0.4036061026352289, 23, None, 0),
    "fls": (78, 1.0370797729047185, 0.8138659553324443, 1.8002773925104023, 54,
            461.79789630074936, 97.46766400000001),
    "fpls": (183, 0.456939375668188, 0.46217504615714927, 1.798890429958391, 33,
             384.7601941867963, 86.75150400000001),
    "ugs": (334, 0.20960012445210602, 0.28965169858572387, 0.5307987272578935, 23,
            274.9797256280255, 59.927824),
    "lds": (331, 0.21271063696079168, 0.3778576727229516, 0.9576568491474258, 23,
            80.14404089500445, 49.444624),
    "targets": (336, 0.198292408452955, 0.2937312773357549, 0.5055478502080444, 23,
                110.95666829849834, 20.723984),
    "stratified": (334, 0.1993289223119945, 0.07602349456033995, 0.14089907807783303, 23,
                   110.12870989856073, 20.391184),
}  # fmt: skip

# Every field is another than by default.
OTHER = {
    **{"partition": "mild", "clients": 9, "batch_size": 100, "hidden": (16, 8), "cut": 2},
    **{"learning_rate": 0.2, "momentum": 0.5, "weight_decay": 1e-3, "epochs": 1, "seed": 1},
    **{"remainder": "even", "fraction": 0.5, "slowdown": 4, "jitter": 0.5, "sample_cost": 0.1},
    **{"delta": 0.5, "concentration": 0.1, "seeds": 1, "slack": 0.1},
}
OTHERS = {
    "fpls": (142, 1.9901308166851464, 0.22020862210690234, 0.5052877947295423, 15,
             204.20896575390762, 2.577168),
    "lds": (142, 1.9933536794485964, 0.28876949572075183, 0.796954461396209, 15,
            228.11078923140263, 2.344208),
    "stratified": (176, 1.9614677455751908, 0.06268615960713854, 0.13667360147942675, 15,
                   207.3451245673686, 2.510608),
}  # fmt: skip
RANDOM = {
    "targets": (126, 2.0377115047941228, 0.20497183576329805, 0.2858298659269533, 15,
                210.62388053746722, 2.627088),
}  # fmt: skip
CNN = {
    "ugs": (209, 3.0196895758310953, 0.20628559751395306, 0.35139274156264444, 15,
            211.28698513569577, 3.137552),
}  # fmt: skip


@pytest.mark.parametrize(
    ("grid", "rows", "rounding"),
    [
        ({"epochs": 2, "seeds": 1}, DEFAULTS, 1e-9),
        (OTHER, OTHERS, 1e-9),
        (OTHER | {"slack": 0, "assign": "random"}, RANDOM, 1e-9),
        (OTHER | {"model": "cnn", "cut": 3, "dtype": "float32", "execution": "clients"}, CNN, 1e-5),
    ],
    ids=["defaults", "others", "random", "cnn"],
)
def test_a_run_of_each_sampler(grid: Row, rows: dict[str, tuple], rounding: float) -> None:
    found = compare(configs({"sampler": [*rows]} | grid))
    assert [row["sampler"] for row in found.runs] == list(rows)
    for row, (right, loss, *numbers) in zip(found.runs, rows.values(), strict=True):
        assert row["test_accuracy"] == right / IMAGES
        assert_exact(row, dict(zip(NAMES, numbers, strict=True)))
        last = [epoch for epoch in found.epochs if epoch["sampler"] == row["sampler"]][-1]
        assert last["loss"] == pytest.approx(loss, rel=rounding)


def assert_exact(row: Row, golden: Row) -> None:
    """Equal but for the order in which sums are taken."""
    for name, value in golden.items():
        assert row[name] == (None if value is None else pytest.approx(value, rel=1e-14)), name


def test_a_run_that_loses_clients() -> None:
    (row,) = compare([Config(epochs=2, faults=0.25)]).runs
    assert row["test_accuracy"] == 338 / IMAGES
    golden = (0.29831357193599684, 0.6066574202496533, 20.5, 281.25563806350056, 50.877976000000004)
    assert_exact(row, dict(zip(NAMES, golden, strict=True)))
    assert_exact(row, {"unreachable": 159, "aborted": 6})


def test_a_sweep(tmp_path: Path) -> None:
    (row,) = sweep([Config(sampler="lds", epochs=2)], tmp_path, ThreadPoolExecutor(1).submit)
    right, _, *numbers = DEFAULTS["lds"]
    assert row["test_accuracy"] == right / IMAGES
    assert_exact(row, dict(zip(NAMES, numbers, strict=True)))


def test_a_step_of_an_epoch_and_its_bounds() -> None:
    steps, (summary,) = deviation([Config()])
    assert_exact(steps[5], {
        "step": 5, "batch_size": 64, "expected": 0.3121004546807867,
        "low": 0.2270371012482663, "high": 0.4390256588072122,
    })  # fmt: skip
    assert_exact(summary, {
        "num_steps": 23, "mean_deviation": 0.31346650773347384,
        "max_deviation": 0.48597258199396265, "tail_deviation": 0.35206233783969826,
        "first_empty": 18, "serfling": 2.1157337551282343, "l1_bound": 0.5446220495354521,
    })  # fmt: skip


# Mean and largest deviation, that of the last tenth, the first client that is empty, time, saved.
SCHEDULES = {
    "ugs": (0.31346650773347384, 0.5002725483397243, 0.35206233783969826, 18,
            274.90379169999375, 0),
    "fls": (0.7993907122112163, 1.8002773925104023, 1.7995582267426933, 8,
            461.79789630074936, -0.6798527712004632),
    "fpls": (0.44022418161733745, 1.7985962257806924, 1.2727661791537364, 8,
             384.7601941867963, -0.3996176327996608),
    "lds": (0.330695958407782, 1.1476462429632046, 0.5665633243757554, 3,
            102.65507480211578, 0.6265781778879767),
    "targets": (0.24534482957387257, 0.42111650485436897, 0.21250441924342553, 3,
                79.57967229462403, 0.7105180987046174),
    "stratified": (0.15209232701100703, 0.24986997226074897, 0.21250441924342553, 3,
                   79.63116479980035, 0.7103307877008007),
}  # fmt: skip
LEAST_TIME = 65.77024305571797


def test_the_time_of_each_schedule() -> None:
    grid = {"sampler": [*SCHEDULES], "concentration": 0.01, "slack": 0.2, "seeds": 1}
    rows = plan(configs(grid))
    assert [row["sampler"] for row in rows] == list(SCHEDULES)
    names = ("mean_deviation", "max_deviation", "tail_deviation", "first_empty", "epoch_time",
             "time_saved")  # fmt: skip
    for row in rows:
        assert_exact(row, dict(zip(names, SCHEDULES[row["sampler"]], strict=True)))
    assert_exact(rows[0], {"least_time": LEAST_TIME})


COMMANDS = sorted(Path(__file__).with_name("golden").iterdir())


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_prints_its_table_and_writes_the_files_that_it_names(
    pslref, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, *lines = path.read_text().splitlines(keepends=True)
    monkeypatch.chdir(tmp_path)
    assert pslref(*shlex.split(command)[2:]) == (0, "".join(lines), "")
    for sentence in lines:
        if sentence.startswith("Written to "):
            folder, names = sentence.removeprefix("Written to ").strip().split(": ")
            assert sorted(names.split(", ")) == sorted(p.name for p in Path(folder).iterdir())
