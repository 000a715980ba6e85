import errno
import os
import resource
import shlex
import signal
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import pytest

from pslref.app import checkpoints, cli, printed, terminal

ROOT = Path(__file__).parents[2]
CLI = [sys.executable, str(ROOT / "cli.py")]
PRINTING = [  # every way to print: CSV, a table, JSON, line by line, help
    ["schedule", "--clients", "5"],
    ["deviation", "--clients", "5", "--sampler", "fls"],
    ["deviation", "--clients", "5", "--sampler", "fls", "--json"],
    ["train", "--clients", "5", "--epochs", "1"],
    ["--help"],
]


def unread() -> TextIO:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


def full() -> TextIO:
    return Path("/dev/full").open("w")


@pytest.fixture
def pslref_to(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process with another standard output: (exit code, error)."""

    def run(output: TextIO, arguments: list[str]) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["cli.py", *arguments])
        monkeypatch.setattr(sys, "stderr", sys.stderr)  # to be put back
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(SystemExit) as caught:
            cli.main()
        with suppress(OSError):  # of what is still to be written
            output.close()
        monkeypatch.undo()
        return int(caught.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize("arguments", PRINTING)
def test_when_nobody_reads_on_a_command_ends_without_a_word(pslref_to, arguments) -> None:
    assert pslref_to(unread(), arguments) == (1, "")


@pytest.mark.parametrize("arguments", PRINTING)
def test_output_to_a_full_disk_is_one_sentence(pslref_to, arguments) -> None:
    sentence = "pslref: cannot write the output: No space left on device\n"
    assert pslref_to(full(), arguments) == (2, sentence)


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        (f"{shlex.join([*CLI, *PRINTING[0]])} | true", 0, ""),
        (f"{shlex.join([*CLI, '--help'])} > /dev/full", 2, "No space left on device\n"),
    ],
)
def test_a_shell_sees_the_same(line: str, code: int, error: str) -> None:
    """Also after the interpreter has tried to write what is left."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=buffered)
    assert done.returncode == code
    assert done.stderr.removeprefix("pslref: cannot write the output: ") == error


@pytest.mark.parametrize("arguments", PRINTING)
def test_output_that_is_closed_from_the_beginning_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cli.py", *arguments])
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    sys.stdout.close()
    monkeypatch.undo()
    assert (caught.value.code or 0, capsys.readouterr().err) == (0, "")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_that_grows_too_large_leaves_the_checkpoint_that_was(pslref, tmp_path: Path) -> None:
    options = ["train", "--clients", "5", "--hidden", "4", "--checkpoint", str(tmp_path)]
    pslref(*options, "--epochs", "1")
    before = contents(tmp_path)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, old[1]))
    try:
        code, _, err = pslref(*options, "--epochs", "2", "--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    sentence = f"pslref: cannot use {tmp_path / checkpoints.NAME}: File too large\n"
    assert (code, err) == (2, sentence)
    assert contents(tmp_path) == before


def test_a_disk_that_is_full_is_one_sentence_and_leaves_what_was(
    pslref, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    commands = {
        "compare": ["--clients", "5", "--epochs", "1", "--seeds", "1", "--sampler", "ugs"],
        "train": ["--clients", "5", "--epochs", "1"],
        "deviation": ["--clients", "5", "--sampler", "fls"],
        "schedule": ["--clients", "5"],
    }
    for command, options in commands.items():
        out = tmp_path / f"{command}  two spaces"
        pslref(command, *options, "--out", str(out))
        before = contents(out)
        monkeypatch.setattr(os, "fsync", full)
        code, _, err = pslref(command, *options, "--seed", "1", "--out", str(out))
        monkeypatch.undo()
        assert code == 2
        assert err.startswith(f"pslref: cannot use {out}/")
        assert err.endswith(": No space left on device\n")
        assert err.count("\n") == 1
        assert contents(out) == before


@pytest.mark.filterwarnings("default")
def test_a_disk_that_promises_less_is_one_sentence_and_costs_nothing(
    pslref, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(terminal, "_warned", set())
    monkeypatch.setattr(os, "fsync", unsupported)
    code, _, err = pslref("deviation", "--clients", "5", "--out", str(tmp_path))
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("pslref: files are written, but may be lost if the power fails")
    assert len(contents(tmp_path)) == 4


def test_a_folder_where_nothing_can_be_made_is_one_sentence(pslref) -> None:
    code, out, err = pslref("schedule", "--clients", "5", "--out", "/proc/none")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "/proc/none" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_with_a_checkpoint_and_says_how_to_go_on(
    pslref, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    options = ["train", "--clients", "5", "--epochs", "2", "--every", "5"]
    whole = pslref(*options[:-2], "--out", str(tmp_path / "whole"))[1]
    step = iter(range(1000))
    write = checkpoints.write

    def interrupted(path: Path, run) -> None:
        write(path, run)
        if next(step) == 2:
            signal.raise_signal(number)

    monkeypatch.setattr(checkpoints, "write", interrupted)
    folder = ["--checkpoint", str(tmp_path / "c d"), "--out", str(tmp_path / "parts")]
    code, first, err = pslref(*options, *folder)
    assert code == 128 + number
    assert not (tmp_path / "parts").exists()
    sentence, command = err.strip().split("; to go on: ")
    assert sentence == f"pslref: {number.name}: stopped"
    assert shlex.split(command) == ["python", "cli.py", "train", "--resume", *options[1:], *folder]
    code, second, err = pslref(*shlex.split(command)[2:])
    assert (code, err) == (0, "")
    assert (first + second).replace("parts", "whole") == whole
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


ENTRY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["pslref"]
STARTS = {
    "installed": ["bin/pslref"],
    "module": ["-m", "pslref"],
    "checkout": [str(ROOT / "cli.py")],
}


@pytest.fixture
def start(tmp_path: Path):
    """The words that start the command in each way, in the current folder `tmp_path`."""
    module, function = ENTRY.split(":")
    (tmp_path / "bin").mkdir()
    script = f"import sys; from {module} import {function}; sys.exit({function}())"
    (tmp_path / "bin" / "pslref").write_text(script)

    def started(way: str, *arguments: str, path: str = "") -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *STARTS[way], *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([path, str(ROOT)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return started


@pytest.mark.parametrize("way", STARTS)
def test_a_shell_reads_the_command_to_go_on_as_it_was_given(start, tmp_path: Path, way) -> None:
    """However it was started, and whatever letters and bytes are in its words."""
    names = ["-a  b", "\t'\"\n$HOME `x` \\ ; * é Δ", os.fsdecode(b"\xe9\x1b"), *["x" * 250] * 5]
    options = ["--clients", "5", "--hidden", "4", "--epochs", "1000"]
    options += [f"--checkpoint={os.sep.join(names)}", "--every", "1000000", "--out"]
    options += ["--resume", "--"]  # a folder of this name
    process = start(way, "train", *options)
    process.stdout.readline()  # the first epoch is done
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    said, command = err.removesuffix(b"\n").split(b"; to go on: ")
    assert said == b"pslref: SIGINT: stopped"
    shell = ["sh", "-c", b"printf '%s\\0' " + command]
    words = subprocess.run(shell, stdout=subprocess.PIPE, check=True).stdout.split(b"\0")[:-1]
    expected = [sys.executable, *STARTS[way], "train", "--resume", *options]
    assert words == list(map(os.fsencode, expected))
    assert tmp_path.joinpath(*names, checkpoints.NAME).exists()


def test_the_command_to_go_on_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["pslref", "train", "--resume", "--checkpoint", "a b"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(sys, "orig_argv", ["python", *words])
    assert shlex.split(terminal._resume(resumed=True)) == ["python", *words]
    monkeypatch.setattr(sys, "platform", "win32")
    assert terminal._resume(resumed=True) == 'python pslref train --resume --checkpoint "a b"'


@pytest.mark.parametrize("way", STARTS)
@pytest.mark.parametrize("imported", ["typer", "numpy", "pslref.app.terminal"])
def test_ctrl_c_while_the_command_is_imported_is_one_sentence(
    start, tmp_path: Path, way: str, imported: str
) -> None:
    program = f"""
import signal, sys
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {imported!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
"""
    (tmp_path / "sitecustomize.py").write_text(program)
    process = start(way, "--help", path=str(tmp_path))
    assert process.communicate(timeout=60) == (b"", b"pslref: interrupted\n")
    assert process.returncode == 130


@pytest.mark.parametrize(("later", "says_how_to_go_on"), [(0.5, True), (1.5, False)])
def test_a_signal_that_comes_again_a_second_later_ends_at_once(
    pslref, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: float, says_how_to_go_on: bool
) -> None:
    clock = iter([100.0, 100.0 + later])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    numbers = iter([signal.SIGINT, signal.SIGTERM])

    def both(path: Path, run) -> None:
        for number in numbers:
            signal.raise_signal(number)

    monkeypatch.setattr(checkpoints, "write", both)
    options = ["--clients", "5", "--epochs", "2", "--every", "1", "--checkpoint", str(tmp_path)]
    code, _, err = pslref("train", *options, "--resume")
    assert code == 130
    assert ("SIGINT: stopped; to go on" in err) == says_how_to_go_on
    assert err.count("--resume") == says_how_to_go_on


def test_a_signal_without_a_checkpoint_ends_after_the_step(pslref, monkeypatch) -> None:
    monkeypatch.setattr(printed, "epoch", lambda row: signal.raise_signal(signal.SIGTERM))
    code, _, err = pslref("train", "--clients", "5")
    assert (code, err) == (143, "pslref: SIGTERM: stopped\n")


def test_sigterm_cleans_up(pslref, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a write: what was there stays, and nothing else."""
    options = ["schedule", "--clients", "5", "--out", str(tmp_path)]
    pslref(*options)
    before = contents(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: signal.raise_signal(signal.SIGTERM))
    code, out, err = pslref(*options, "--seed", "1")
    assert (code, out, err) == (143, "", "")
    assert contents(tmp_path) == before


def test_epochs_go_to_standard_output_even_if_only_standard_error_is_a_terminal(
    pslref, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    code, out, err = pslref("train", "--clients", "5", "--epochs", "1")
    assert code == 0
    assert out.startswith("epoch 0: ")
    assert "epoch 0: " not in err
    assert "training" in err


def test_a_sentence_that_nobody_hears_does_not_go_to_standard_output() -> None:
    line = f"{shlex.join([*CLI, 'compare', '--nonsense'])} 2>&-"
    done = subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_narrow_terminal_cuts_no_number(pslref, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pslref(*PRINTING[1])
    assert "fls" in whole[1]
    monkeypatch.setenv("COLUMNS", "10")
    assert pslref(*PRINTING[1]) == whole


def test_a_table_is_no_wider_than_it_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"sampler": "ugs", "steps": "5", "nothing": ""}
    terminal.print_table([row, row | {"sampler": "targets", "steps": "1200000"}])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["sampler   steps", "ugs           5", "targets 1200000"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "1 1 None"),
        ({"OPENBLAS_NUM_THREADS": "2"}, "2 None None"),
        ({"OMP_NUM_THREADS": "2"}, "None None 2"),
    ],
)
def test_one_blas_thread_unless_the_user_has_said_how_many(given: dict, found: str) -> None:
    """NumPy reads it as it is imported: not before the command is begun."""
    names = "'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'OMP_NUM_THREADS'"
    code = f"""if True:
        import atexit, os, sys
        from pslref.__main__ import main
        assert "numpy" not in sys.modules
        atexit.register(lambda: print(*map(os.environ.get, ({names}))))
        sys.argv = ["pslref", "--version"]
        main()"""
    others = {name: text for name, text in os.environ.items() if "_NUM_THREADS" not in name}
    ran = subprocess.run([sys.executable, "-c", code], env=others | given, stdout=subprocess.PIPE)
    assert ran.stdout.decode().splitlines()[-1] == found
