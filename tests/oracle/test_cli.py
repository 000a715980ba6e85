"""`pslref oracle ...`: exit codes 0 right, 1 wrong, 2 could not be checked."""

import json
import sys
from pathlib import Path

import pytest

from pslref import cli, sampling
from pslref.oracle import vectors

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
    assert told["first_divergence"]["id"] == "step-mlp"
    assert "averaged over the participants" in told["diagnoses"][0]


def test_the_first_failure_is_printed_when_it_comes(oracle) -> None:
    name = "tests.oracle.test_cli:averaging"
    code, out, _ = oracle("check", "--backend", name, "--op", "split_steps", "--tier", "vectors")
    assert code == 1
    assert out.startswith("step-mlp: step 0, summed_gradients")
    assert out.splitlines()[-2] == "WRONG"
    arguments = ["--expect-failure", "split_steps=known", "--tier", "vectors"]
    code, out, _ = oracle("check", "--backend", name, "--op", "split_steps", *arguments)
    assert code == 0


def test_a_study_counts_accusations(oracle, tmp_path: Path) -> None:
    out_file = tmp_path / "study.csv"
    for name, verdict in [("few", "0 of 2"), ("few_and_wrong", "2 of 2")]:
        backend = f"tests.oracle.test_cli:{name}"
        code, out, _ = oracle("study", "--backend", backend, "--runs", "2", "--out", str(out_file))
        assert code == (verdict != "0 of 2")
        assert f"{verdict} full checks accused a right implementation" in out
    assert out_file.read_text().splitlines()[1] == f"{backend},0,1,all,,"


def few():
    from tests.backends.plain import Plain

    return Plain(only=["linear", "sgd"])


def few_and_wrong():
    from tests.backends.plain import Plain

    return Plain("nesterov", only=["linear", "sgd"])


def averaging():
    from tests.backends.plain import Plain

    return Plain("averaged")


def test_schedules_that_a_server_logged(oracle, tmp_path: Path, rng, alpha: float) -> None:
    """The command's own false-alarm rate is 1e-6; the seed is fixed by the test's name."""
    sizes = [12, 5, 8]
    right = [sampling.ugs(sizes, 6, rng).batch_sizes.tolist() for _ in range(200)]
    wrong = [sampling.slowest_first(sizes, [3, 2, 1], 6).batch_sizes.tolist()] * 200
    for name, epochs, expected in [("right", right, 0), ("wrong", wrong, 1)]:
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps({"batch_sizes": epochs}))
        arguments = [str(file), "--law", "ugs", "--sizes", "12,5,8", "--batch-size", "6"]
        code, out, _ = oracle("schedules", *arguments)
        assert code == expected
        assert ("WRONG" in out) == bool(expected)
        assert "detects" in out
        code, out, _ = oracle("schedules", *arguments, "--json")
        assert all(one["passed"] for one in json.loads(out)) == (not expected)


def test_schedules_of_lds_take_class_counts(oracle, tmp_path: Path, rng) -> None:
    counts, delays = [[6, 1], [2, 7], [4, 4]], [1.0, 5.0, 1.0]
    options = {"delays": delays, "delta": 1.0}
    epochs = [sampling.lds(counts, 6, rng, **options).batch_sizes.tolist() for _ in range(100)]
    (tmp_path / "epochs.json").write_text(json.dumps({"batch_sizes": epochs}))
    (tmp_path / "counts.json").write_text(json.dumps(counts))
    arguments = ["schedules", str(tmp_path / "epochs.json"), "--law", "lds", "--batch-size", "6",
                 "--class-counts", str(tmp_path / "counts.json"), "--delays", "1,5,1"]  # fmt: skip
    assert oracle(*arguments, "--delta", "1")[0] == 0
    assert oracle(*arguments, "--delta", "3")[0] == 1


def test_export_writes_vectors_and_schema(oracle, tmp_path: Path) -> None:
    code, out, _ = oracle("export", str(tmp_path / "new"))
    assert code == 0
    assert len(out.splitlines()) == 6
    cases = vectors.read((tmp_path / "new" / "laws.json").read_text(encoding="utf-8"))
    assert [case.id for case in cases] == [case.id for case in vectors.shipped()[-len(cases) :]]
