"""`pslref oracle ...`: exit codes 0 right, 1 wrong, 2 could not be checked."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pslref import sampling
from pslref.app import cli
from pslref.oracle import vectors
from pslref.oracle.compare import flatten
from tests.backends.plain import Plain
from tests.oracle.test_recompute import log_of

LAW = ["clients", "spread", "between_epochs", "repeats"]
LIBRARY = "pslref.oracle.library:Library"


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run `pslref oracle` in this process: (exit code, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pslref", "oracle", *arguments])
        monkeypatch.chdir(Path(__file__).parents[2])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


def test_a_right_backend(oracle) -> None:
    code, out, _ = oracle("check", "--backend", LIBRARY, "--tier", "vectors,laws")
    assert code == 0
    assert out.splitlines()[-2] == "RIGHT"
    assert "--seed" in out.splitlines()[-1]


def test_a_wrong_backend_as_json(oracle) -> None:
    name = "tests.oracle.test_cli:averaging"
    code, out, _ = oracle("check", "--backend", name, "--op", "split_steps", "--first", "--json")
    assert code == 1
    told = json.loads(out)
    assert told["first_divergence"]["check"] == "step-mlp"
    assert "averaged over the participants" in told["diagnoses"][0]


def test_another_protocol_can_be_asked_for(oracle) -> None:
    arguments = ["check", "--backend", LIBRARY, "--op", "split_steps", "--protocol"]
    code, out, _ = oracle(*arguments, "splitfed-v2")
    assert code == 1
    assert "right as PSL (" in out.splitlines()[-3]
    assert ", not as SplitFed v2: the first difference is step-mlp: " in out.splitlines()[-3]
    code, _, err = oracle(*arguments, "splitfed-v3")
    assert code == 2
    assert "protocol = 'splitfed-v3': must be one of psl, " in err


def test_the_first_failure_is_printed_when_it_comes(oracle) -> None:
    name = "tests.oracle.test_cli:averaging"
    code, out, _ = oracle("check", "--backend", name, "--op", "split_steps", "--tier", "vectors")
    assert code == 1
    assert out.startswith("step-mlp: steps.0.summed_gradients")
    assert out.splitlines()[-2] == "WRONG"
    arguments = ["--expect-failure", "split_steps=known", "--tier", "vectors"]
    code, out, _ = oracle("check", "--backend", name, "--op", "split_steps", *arguments)
    assert code == 0


def test_what_a_python_backend_lacks_comes_first_and_has_its_place(
    oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking.py").write_text("import numpy\nimport a_framework\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    reason = "must be package.module:factory, but ModuleNotFoundError: No module named"
    code, out, err = oracle("check", "--backend", "lacking:Mine")
    assert (code, out) == (2, "")
    place = f"({tmp_path}/lacking.py, line 2)"
    assert err == f"pslref: backend = 'lacking:Mine': {reason} 'a_framework' {place}\n"
    assert oracle("check", "--backend", "none:x")[2].endswith(f"{reason} 'none'\n")


def test_what_a_python_backend_raises_has_its_place(oracle) -> None:
    name = "tests.oracle.test_cli:untrained"
    _, out, _ = oracle("check", "--backend", name, "--op", "sgd", "--tier", "vectors", "--first")
    line = Untrained.weights.__code__.co_firstlineno + 1
    assert f"raised RuntimeError: no weights ({__file__}, line {line})\n" in out


class Untrained(Plain):
    def run(self, op, inputs):
        return self.weights()

    def weights(self):
        raise RuntimeError("no weights")


def untrained():
    return Untrained()


def averaging():
    return Plain("averaged")


def test_schedules_that_a_server_logged(oracle, tmp_path: Path, rng, alpha: float) -> None:
    """The command's own false-alarm rate is 1e-6; the seed is fixed by the test's name."""
    sizes = [12, 5, 8]
    right = [sampling.ugs(sizes, 6, rng).batch_sizes.tolist() for _ in range(200)]
    wrong = [sampling.slowest_first(sizes, [3, 2, 1], 6).batch_sizes.tolist()] * 200
    used = "(all {} epochs, {} steps, were used)"
    verdicts = {
        0: (right, f"RIGHT: nothing speaks against UGS {used}"),
        1: (wrong, f"WRONG: this is not UGS: {', '.join(LAW)} {used}"),
        2: (right[:2], f"TOO FEW EPOCHS for {', '.join(LAW)} to see anything {used}"),
    }
    for expected, (epochs, sentence) in verdicts.items():
        file = tmp_path / f"{expected}.json"
        file.write_text(json.dumps({"batch_sizes": epochs}))
        arguments = [str(file), "--law", "ugs", "--sizes", "12,5,8", "--batch-size", "6"]
        sentence = sentence.format(len(epochs), 5 * len(epochs))
        code, out, _ = oracle("schedules", *arguments)
        assert (code, out.splitlines()[-1]) == (expected, sentence)
        assert "detects" in out
        code, out, _ = oracle("schedules", *arguments, "--json")
        told = json.loads(out)
        assert (code, told["exit_code"], told["verdict"]) == (expected, expected, sentence)
        assert any(one["verdict"] == "wrong" for one in told["results"]) == (expected == 1)


def test_schedules_of_lds_take_class_counts(oracle, tmp_path: Path, rng) -> None:
    counts, delays = [[24, 4], [8, 28], [16, 16]], [1.0, 5.0, 1.0]
    options = {"delays": delays, "delta": 1.0}
    epochs = [sampling.lds(counts, 6, rng, **options).batch_sizes.tolist() for _ in range(100)]
    (tmp_path / "epochs.json").write_text(json.dumps({"batch_sizes": epochs}))
    (tmp_path / "counts.json").write_text(json.dumps(counts))
    arguments = ["schedules", str(tmp_path / "epochs.json"), "--law", "lds", "--batch-size", "6",
                 "--class-counts", str(tmp_path / "counts.json"), "--delays", "1,5,1"]  # fmt: skip
    assert oracle(*arguments, "--delta", "1")[0] == 0
    assert oracle(*arguments, "--delta", "3")[0] == 1


def test_schedules_of_class_targets_take_classes(oracle, pslref, tmp_path: Path) -> None:
    """Right as `pslref schedule` writes them; with another slack, or without classes, not."""
    table, log = tmp_path / "clients.csv", tmp_path / "planned" / "schedule.csv"
    table.write_text("delay,sample_cost,0,1\n1,0,60,200\n10,0,140,0\n")
    code, _, _ = pslref(
        "schedule", "--sampler", "stratified", "--table", str(table), "--batch-size", "10",
        "--assign", "planned", "--slack", "0.4", "--epochs", "2",
        "--out", str(log.parent),
    )  # fmt: skip
    assert code == 0
    (tmp_path / "counts.json").write_text("[[60, 200], [140, 0]]")
    given = ["schedules", str(log), "--law", "stratified", "--batch-size", "10",
             "--delays", "1,10", "--assign", "planned"]  # fmt: skip
    counts = ["--class-counts", str(tmp_path / "counts.json")]
    code, out, _ = oracle(*given, *counts, "--slack", "0.4")
    title = "class targets, stratified and planned (all 2 epochs, 80 steps, were used)"
    assert (code, out.splitlines()[-1]) == (0, f"RIGHT: nothing speaks against {title}")
    code, out, _ = oracle(*given, *counts, "--slack", "0.1")
    assert code == 1
    assert "deviation: epoch 0 has a Δ of 0.40 in step 0, and at most 0.30 if stratified" in out
    code, out, _ = oracle(*given, *counts, "--assign", "slowest-first")
    assert (code, "slowest_first" in out.splitlines()[-1]) == (1, False)
    code, _, err = oracle(*given, "--sizes", "260,140")
    assert (code, err) == (2, "pslref: class_counts = None: must be given if law = 'stratified'\n")
    code, _, err = oracle(*given, *counts, "--slack", "3")
    assert (code, "slack = 3.0: must be" in err) == (2, True)


def test_a_log_of_long_planned_epochs_is_right_with_a_note(oracle, tmp_path: Path) -> None:
    """Each step by one of two clients to whom samples cost 5 and 4; half each takes less."""
    rows = [f"0,{t},{t // 10},0,6\n" for t in range(20)]
    (tmp_path / "log.csv").write_text("epoch,step,client,class,samples\n" + "".join(rows))
    (tmp_path / "counts.json").write_text("[[60], [60]]")
    code, out, _ = oracle(
        "schedules", str(tmp_path / "log.csv"), "--law", "stratified", "--assign", "planned",
        "--class-counts", str(tmp_path / "counts.json"), "--batch-size", "6", "--delays", "1,1",
        "--sample-costs", "5,4",
    )  # fmt: skip
    title = (
        "class targets, stratified and planned, but see time (all 1 epochs, 20 steps, were used)"
    )
    assert (code, out.splitlines()[-1]) == (0, f"RIGHT: nothing speaks against {title}")


def test_a_step_that_a_system_logged(oracle, tmp_path: Path, rng) -> None:
    log = log_of(rng)
    layers = np.array(json.dumps(log.pop("layers")))
    arrays = flatten(log) | {"layers": layers}
    np.savez(tmp_path / "right.npz", **arrays)
    arrays["steps.1.loss"] = arrays["steps.1.loss"] * 1.5
    np.savez(tmp_path / "wrong.npz", **arrays)
    code, out, _ = oracle("step", str(tmp_path / "right.npz"))
    assert (code, out.splitlines()[-1]) == (0, "RIGHT")
    code, out, _ = oracle("step", str(tmp_path / "wrong.npz"), "--json")
    wrong = [one["check"] for one in json.loads(out)["results"] if one["verdict"] == "wrong"]
    assert (code, wrong) == (1, ["step 1, loss"])
    assert json.loads(out)["verdict"] == "WRONG: the first difference is step 1, loss"


def test_export_writes_vectors_and_schema(oracle, tmp_path: Path) -> None:
    code, out, _ = oracle("export", str(tmp_path / "new"))
    assert code == 0
    assert len(out.splitlines()) == len(vectors.NAMES)
    cases = vectors.read((tmp_path / "new" / "laws.json").read_text(encoding="utf-8"))
    assert [case.id for case in cases] == [case.id for case in vectors.shipped()[-len(cases) :]]
