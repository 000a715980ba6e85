"""Whatever is typed, a mistake is one sentence and exit code 2, and nothing is begun or left."""

import os
import re
import shlex
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from pslref import data

LIBRARY = "pslref.oracle.library:Library"
LATIN = os.fsdecode(b"caf\xe9")  # a file name that is not UTF-8
LONG = "x" * 3000
DIGITS = "9" * 5000  # more than Python makes a number of
THOUSANDTHS = [i / 1000 for i in range(1000)]
STRANGE = ["folder", "text", LATIN, "loop", "dangling", "endless", "pipe"]
WHAT_IS_ALLOWED = re.compile(r"\b(must|needs)\b| shows what is allowed$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # for a backend's process
    return tmp_path


@pytest.fixture
def strange(folder: Path) -> Path:
    """The current folder, full of what is no file to read and no folder to write to."""
    (folder / "folder").mkdir()
    (folder / "text").write_text("in the way")
    (folder / LATIN).write_bytes(b"\xff\xfe")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("not/here")
    (folder / "endless").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe")
    return folder


def entries(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(pslref, folder: Path):
    """Run what must be refused, and check all that every refusal has; the sentence."""

    def run(*arguments: str) -> str:
        before = entries(folder)
        code, out, err = pslref(*arguments)
        assert (code, out) == (2, ""), err
        assert err.startswith("pslref: ")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        assert len(err) < 1100
        assert WHAT_IS_ALLOWED.search(err), err
        assert "Traceback" not in err
        assert entries(folder) == before
        return str(err.removeprefix("pslref: "))

    return run


# Options of a run: of the wrong type, out of range, none of the names. All of this is found before
# any data are read, whatever their size would be.


WHOLE = [
    *(("clients", 1, 100_000), ("batch_size", 1, 3_000_000_000), ("cut", 1, None)),
    *(("epochs", 1, 1_000_000), ("seeds", 1, 10_000), ("seed", 0, 2**63)),
]
RANGES = [
    *(("momentum", 0, 1), ("weight_decay", 0, 1e9), ("fraction", 0, 1), ("slowdown", 1, 1e9)),
    *(("jitter", 0, 1e9), ("sample_cost", 0, 1e9), ("delta", 0, 1e9), ("slack", 0, 2)),
]
CHOICES = (
    *("dataset", "files", "partition", "model", "remainder", "dtype", "execution", "assign"),
    "links",
)


def options_of_a_run() -> list[tuple[str, str, str]]:
    """Option, what is given, and what of it must be shown."""
    found = []
    for name, low, high in WHOLE:
        texts = ["", "x", "1.5", "1e3", "nan", "0x10", "1_0", LATIN]
        numbers = [low - 1, -(10**12)] + ([high + 1, 10**40] if high else [])
        found += [(name, text, repr(text)) for text in texts] + [(name, DIGITS, "'999")]
        found += [(name, str(number), str(number)[:15]) for number in numbers]
    positive = [("learning_rate", 0.1, 1e300), ("concentration", 0.1, 1e300)]
    for name, low, high in [*RANGES, *positive]:
        found += [(name, text, repr(text)) for text in ("", "x", "1,5", "0x1p3", "0_1")]
        found += [(name, text, text) for text in ("nan", "inf", "-inf")]
        found += [(name, "1e400", "inf"), (name, str(low - 0.5), str(low - 0.5))]
        found += [] if high == 1e300 else [(name, "1e15", "1000000000000000.0")]
    for name in CHOICES:
        texts = ["", "None", "0", "iid,ugs", LATIN]
        found += [(name, text, repr(text)) for text in texts] + [(name, LONG, "'xxx")]
    return found


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if any data are read."""
    monkeypatch.setattr(data, "load", lambda *arguments: pytest.fail("too late"))


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("name", "given", "shown"), options_of_a_run())
def test_an_option_of_a_run(refused, name: str, given: str, shown: str) -> None:
    command = "train" if name in ("dataset", "momentum", "epochs") else "compare"
    if command == "train" or name != "seeds":
        option = f"--{name.replace('_', '-')}={given}"
        assert refused(command, option, "--out", "out").startswith(f"{name} = {shown}")


# Each with what the sentence begins with, or the end of it that matters.
MISTAKES = [
    # no such command, option or argument
    ("compere", "No such command 'compere'"),
    ("''", "No such command ''"),
    ("data put", "No such command 'put'"),
    ("oracle chekc", "No such command 'chekc'"),
    ("--seed", "No such option: --seed"),
    ("--clients 3", "No such option: --clients"),
    ("compare --nonsense", "No such option: --nonsense"),
    ("compare --sam ugs", "No such option: --sam (Possible options: --sampler"),
    ("compare -x", "No such option: -x"),
    ("compare --json=1", "Option '--json' does not take a value"),
    ("compare --out", "Option '--out' requires an argument"),
    ("compare more", "Got unexpected extra argument"),
    ("train --seeds 3", "No such option: --seeds"),
    ("schedule --momentum 1", "No such option: --momentum"),
    ("sweep", "Missing option '--out'"),
    ("data get", "Missing argument '"),
    ("oracle export", "Missing argument '"),
    ("oracle schedules log.csv --law ugs", "Missing option '--batch-size'"),
    # options of a run that have several values
    ("compare --sampler ''", "sampler = '': must be one of centralized, fls"),
    ("compare --sampler usg", "(did you mean 'ugs'?)"),
    ("compare --sampler 'ugs lds'", "sampler = 'ugs lds': must be one of"),
    ("compare --sampler ugs --sampler usg", "sampler = 'usg': must be one of"),
    ("train --sampler ugs,lds", "sampler = 'ugs,lds': must be one of"),
    ("train --faults 0.1,0.2", "faults = '0.1,0.2': must be a number"),
    ("compare --dataset digit", "(did you mean 'digits'?)"),
    ("compare --partition sever", "(did you mean 'severe'?)"),
    ("compare --hidden ''", "hidden = '': must be whole numbers separated by commas"),
    ("compare --hidden 8,x", "hidden = '8,x': must be whole numbers"),
    ("compare --hidden 8,", "hidden = '8,': must be whole numbers"),
    ("compare --hidden 6_4", "hidden = '6_4': must be whole numbers"),
    ("compare --hidden 0", "hidden = 0: must be a whole number from 1 to 100000"),
    ("compare --hidden 100000,100000", "hidden = (100000, 100000): must have at most 67108864"),
    (f"compare --hidden {','.join(['5000'] * 9)}", "must have at most 67108864 weights"),
    (f"compare --hidden {DIGITS}", "hidden = '9999"),
    (f"compare --hidden {LONG}", "hidden = 'xxxx"),
    ("compare --data-dir ''", "data_dir = '': must be the name of a folder"),
    # of which the last counts
    ("compare --clients 8 --clients 0", "clients = 0: must be"),
    ("compare --out a --out ''", "out = '': must be a path"),
    # contradictions
    ("compare --slack 1 --assign random", "slack = 1.0: must be left out unless assign is auto or"),
    ("train --slack 0.3", "slack = 0.3: must be left out unless sampler is targets or stratified"),
    ("schedule --delta 1", "delta = 1.0: must be left out unless sampler is lds"),
    ("compare --sampler ugs,stratified --concentration 1", "must be left out unless sampler is ld"),
    ("sweep --out out --sampler lds --assign random", "assign = ('random',): must be left out unl"),
    ("sweep --out out --partition iid,mild --least 4", "must be left out unless partition is diri"),
    ("compare --partition iid,sever --clients 8", "(did you mean 'severe'?)"),
    ("clients --partition sever --clients 8", "(did you mean 'severe'?)"),
    ("clients --links wifi --jitter 3", "links = 'wifi': must be one of none, datacentre"),
    ("compare --sampler ugs,usg --slack 0", "(did you mean 'ugs'?)"),
    ("clients --partition owners --clients 9", "clients = 9: must be left out unless partition is"),
    ("train --resume", "checkpoint = None: must be a folder, if every or resume is given"),
    ("train --every 3", "checkpoint = None: must be a folder"),
    ("oracle check", "one of --backend and --command must be given"),
    (f"oracle check --backend {LIBRARY} --command cat", "one of --backend and --command must be"),
    ("oracle schedules x --law ugs --batch-size 4", "one of --sizes and --class-counts must be"),
    ("oracle schedules x --law ugs --batch-size 4 --sizes 4 --class-counts y", "one of --sizes"),
    # options of one command
    ("compare --out ~nobody-of-this-name/x", "out = '~nobody-of-this-name/x': must be a path"),
    ("compare --data-dir ~nobody-of-this-name", "data_dir = '~nobody-of-this-name': must be"),
    ("compare --faults ''", "faults = '': must be numbers separated by commas"),
    ("compare --faults 0,some", "faults = '0,some': must be numbers"),
    ("compare --faults 0,1.1", "faults = 1.1: must be a finite number, 0 or more, at most 1"),
    ("compare --faults 0,nan", "faults = nan: must be"),
    (
        f"compare --seeds 10000 --faults {','.join(map(str, THOUSANDTHS))}",
        "the grid has 70000000 runs: must have at most 10000",
    ),
    ("train --every 0 --checkpoint c", "every = 0: must be a whole number, 1 or more"),
    ("train --scheduler tcp://x:1", "scheduler = 'tcp://x:1': must be left out unless execution ="),
    ("train --workers 2 --execution clients", "workers = 2: must be left out unless"),
    ("train --time-limit 9", "time_limit = 9.0: must be left out unless execution = 'remote'"),
    ("train --execution remote --workers 0", "workers = 0: must be a whole number, 1 or"),
    ("train --execution remote --workers x", "workers = 'x': must be a whole number"),
    ("train --execution remote --time-limit 0", "time_limit = 0.0: must be a finite"),
    ("train --execution remote --scheduler ''", "scheduler = '': must be the address"),
    ("compare --execution remote", "execution = 'remote': must be pooled, clients or, for `train`"),
    ("train --execution remot", "execution = 'remot': must be pooled, clients or, for `train`, r"),
    ("train --every x --checkpoint c", "every = 'x': must be a whole number"),
    ("train --every ''", "every = '': must be a whole number"),
    ("train --checkpoint ''", "checkpoint = '': must be a path"),
    ("plan --delta 1,", "delta = '1,': must be numbers separated by commas"),
    ("plan --delta 0,-1", "delta = -1.0: must be a finite number, 0 or more"),
    ("plan --concentration 1,0", "concentration = 0.0: must be a finite number, greater"),
    ("plan --slack 3", "slack = 3.0: must be a finite number, 0 or more, at most 2"),
    ("plan --slack 0,1 --assign random,slowest-first", "slack = (0.0, 1.0): must be left out unl"),
    ("plan --assign slowest", "(did you mean 'slowest-first'?)"),
    ("plan --assign ''", "assign = '': must be one of auto, slowest-first, planned, random"),
    (
        f"plan --delta {','.join(map(str, range(1000)))} "
        f"--concentration {','.join(map(str, range(1, 1001)))}",
        "the grid has 30000000 runs: must have at most 10000",
    ),
    ("plan --seeds 0", "seeds = 0: must be"),
    ("schedule --epochs 0", "epochs = 0: must be"),
    ("schedule --out ''", "out = '': must be a path"),
    ("deviation --clients 0", "clients = 0: must be"),
    ("sweep --out out --clients 8,x", "clients = '8,x': must be whole numbers separated by commas"),
    ("sweep --out out --clients 8,0", "clients = 0: must be a whole number from 1 to 100000"),
    ("sweep --out out --sampler ''", "sampler = '': must be one of"),
    ("sweep --out out --partition iid,", "partition = '': must be one of"),
    ("sweep --out out --seeds 1,2", "seeds = '1,2': must be a whole number"),
    ("sweep --out out --seed 1,2", "seed = '1,2': must be a whole number"),
    ("sweep --out out --seeds 1000000000000", "seeds = 1000000000000: must be a whole number"),
    ("sweep --out out --seeds 9999", "the grid has 69993 runs: must have at most 10000"),
    ("sweep --out out --jobs 0", "jobs = 0: must be a whole number from 1"),
    ("sweep --out out --jobs 1000000000", "jobs = 1000000000: must be a whole number from 1"),
    ("sweep --out out --jobs x", "jobs = 'x': must be a whole number"),
    ("sweep --out out --scheduler ''", "scheduler = '': must be the address of a Dask scheduler"),
    ("sweep --out ''", "out = '': must be a path"),
    ("sweep --out out --grid ''", "grid = '': must be a path"),
    ("sweep --out out --grid none.toml", "grid = 'none.toml': must be a file that can be read: No"),
    # data sets
    ("data get digits", "name = 'digits': must be another"),
    ("data get ''", "name = '': must be one of digits, fashion-mnist, cifar10"),
    ("data get cifar-10", "(did you mean 'cifar10'?)"),
    (f"data get {LONG}", "name = 'xxxx"),
    ("compare --dataset cifar10 --data-dir none", "`pslref data get cifar10"),
    ("train --dataset fashion-mnist --data-dir none", "`pslref data get fashion-mnist"),
    # the oracle
    ("oracle check --backend ''", "backend = '': must be package.module:factory"),
    ("oracle check --backend nonsense", "backend = 'nonsense': must be package.module:factory"),
    ("oracle check --backend none:x", "backend = 'none:x': must be package.module:factory, but"),
    ("oracle check --backend json:nothing", "backend = 'json:nothing': must be package.module"),
    ("oracle check --backend json:dumps", "backend = 'json:dumps': must be package.module"),
    (f"oracle check --backend {LIBRARY} --tier law", "(did you mean 'laws'?)"),
    (f"oracle check --backend {LIBRARY} --op convd", "(did you mean 'conv2d'?)"),
    (f"oracle check --backend {LIBRARY} --expect-failure sgd", "expect_failure = 'sgd': must be"),
    ("oracle schedules x --law ugs --batch-size x --sizes 4", "batch_size = 'x': must be a whole"),
    ("oracle schedules x --law ugs --batch-size 4 --sizes 9,x", "sizes = '9,x': must be whole"),
    ("oracle schedules x --law ugs --batch-size 4 --sizes 9 --delta x", "delta = 'x': must be"),
    ("oracle check --command ''", "command = '': must be a program and its arguments"),
    ('oracle check --command \'"\'', "command = '\"': must be a program and its arguments"),
    ("oracle check --command not-there", "command = ['not-there']: must answer hello, but could"),
    ("oracle check --command true", "command = ['true']: must answer hello, but died with exit"),
    ("oracle check --command cat", "must answer hello, but an answer must have outputs"),
    ("oracle check --command yes", "must answer hello, but wrote b'y', which is no answer"),
    ("oracle check --command 'cat /dev/zero'", "must answer hello, but wrote more than 16777216"),
    ("oracle check --command cat --time-limit 0", "time_limit = 0.0: must be a finite number"),
    ("oracle check --command cat --time-limit nan", "time_limit = nan: must be a finite number"),
    ("oracle check --command cat --time-limit inf", "time_limit = inf: must be a finite number"),
    ("oracle check --command cat --time-limit x", "time_limit = 'x': must be a number"),
    ("oracle check --command cat --seed -1", "seed = -1: must be a whole number, 0 or more"),
    ("oracle check --command cat --seed x", "seed = 'x': must be a whole number"),
    ("oracle step nowhere", "log = 'nowhere': must be a file that can be read"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), MISTAKES)
def test_a_mistake(refused, line: str, sentence: str) -> None:
    assert sentence in refused(*shlex.split(line))


# Mistakes that show once the data are there: still before anything is trained.
AGAINST_DATA = [
    ("compare --batch-size 1443", "batch_size = 1443: must be a whole number from 1 to 1442"),
    ("compare --cut 9", "cut = 9: must be a whole number from 1 to 3"),
    ("compare --model cnn --cut 8", "cut = 8: must be a whole number from 1 to 7"),
    ("compare --model resnet --cut 6", "cut = 6: must be at most 5: BatchNorm needs the server's"),
    ("compare --partition severe --clients 1", "clients = 1: must be 5 or more, if severe"),
    ("compare --partition mild --clients 1", "clients = 1: must be 2 or more, if mild"),
    ("train --sampler lds --delta 700", "delta = 700.0: times the largest z-score"),
    (
        "train --execution clients --clients 5000 --hidden 1000",
        "execution by clients: their weights = 325000000: must be",
    ),
    ("schedule --epochs 1000000", "epochs = 1000000: must be a whole number from 1 to 3467"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), AGAINST_DATA)
def test_a_mistake_about_the_data(refused, line: str, sentence: str) -> None:
    """Nothing of the size that was asked for is allocated."""
    tracemalloc.start()
    assert sentence in refused(*shlex.split(line))
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()


# Files and folders.

NO_FOLDERS = [
    "text",
    "text/new",
    LATIN,
    "loop",
    "loop/new",
    "dangling",
    "endless",
    "pipe",
    "/dev/null",
    "/proc/new",
    "x" * 300,
]
WRITING = {
    "compare": ["compare", "--out"],
    "train": ["train", "--out"],
    "checkpoint": ["train", "--checkpoint"],
    "schedule": ["schedule", "--out"],
    "deviation": ["deviation", "--out"],
    "plan": ["plan", "--out"],
    "sweep": ["sweep", "--out"],
    "download": ["data", "get", "cifar10", "--data-dir"],
    "export": ["oracle", "export"],
}  # fmt: skip


@pytest.mark.usefixtures("unread", "strange")
@pytest.mark.parametrize("path", NO_FOLDERS)
@pytest.mark.parametrize("what", WRITING)
def test_what_is_no_folder_to_write_to(refused, what: str, path: str) -> None:
    name = {"checkpoint": "checkpoint", "download": "data_dir", "export": "folder"}.get(what, "out")
    assert refused(*WRITING[what], path).startswith(f"{name} = {path!r}"[:80])


SMALL = ["--clients", "5", "--sampler", "ugs", "--epochs", "1", "--hidden", "4"]
PLANNED = ["--clients", "5", "--sampler", "ugs"]
OUTPUTS = {  # whatever it writes, by a command that is done soon
    "compare": ["compare", *SMALL, "--seeds", "1", "--out", "o"],
    "faults": ["compare", *SMALL, "--seeds", "1", "--faults", "0", "--out", "o"],
    "train": ["train", *SMALL, "--out", "o"],
    "checkpoint": ["train", *SMALL, "--checkpoint", "o"],
    "schedule": ["schedule", *PLANNED, "--out", "o"],
    "deviation": ["deviation", *PLANNED, "--out", "o"],
    "plan": ["plan", *PLANNED, "--seeds", "1", "--out", "o"],
    "sweep": ["sweep", *SMALL, "--seeds", "1", "--out", "o"],
    "export": ["oracle", "export", "o"],
}


@pytest.mark.parametrize("what", OUTPUTS)
def test_a_folder_in_the_place_of_any_file_is_found_at_once(
    pslref, refused, folder: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pslref(*OUTPUTS[what])
    written = [path for path in (folder / "o").iterdir() if path.is_file()]
    assert written
    monkeypatch.setattr(data, "load", lambda *arguments: pytest.fail("too late"))
    for path in written:
        path.unlink()
        path.mkdir()
        assert "must" in refused(*OUTPUTS[what])
        path.rmdir()


BELOW = [  # each other's files, by whatever name
    ("--checkpoint c --out c/checkpoint.npz", "out = 'c/checkpoint.npz': must not be below /"),
    ("--checkpoint c --out ./x/../c/checkpoint.npz/new", "out = 'x/../c/checkpoint.npz/new': must"),
    ("--checkpoint link --out folder/checkpoint.npz", "out = 'folder/checkpoint.npz': must not"),
    ("--out o --checkpoint o/weights.npz", "checkpoint = 'o/weights.npz': must not be below /"),
    ("--out o --checkpoint o/results.csv/c", "checkpoint = 'o/results.csv/c': must not be below"),
]


@pytest.mark.usefixtures("strange", "unread")
@pytest.mark.parametrize(("line", "sentence"), BELOW)
def test_a_folder_below_a_file_that_will_be_written(
    refused, folder: Path, line: str, sentence: str
) -> None:
    (folder / "link").symlink_to("folder")
    assert sentence in refused("train", *shlex.split(line))


@pytest.mark.usefixtures("unread")
def test_a_file_in_the_place_of_the_runs_of_a_sweep(refused, folder: Path) -> None:
    (folder / "o").mkdir()
    (folder / "o" / "runs").touch()
    assert "out = 'o/runs': must be a folder" in refused("sweep", "--out", "o")


NO_FILES = [
    "folder",
    "loop",
    "dangling",
    "endless",
    "pipe",
    "/dev/full",
    "none",
    "text/none",
    "x" * 300,
]
JSON = ["text", LATIN, "deep.json", "digits.json"]


@pytest.fixture
def texts(strange: Path) -> None:
    (strange / "deep.json").write_text("[" * 100_000)
    (strange / "digits.json").write_text("[[" + DIGITS + "]]")
    (strange / "large.toml").write_text("#" * 2**21)
    (strange / "hex.toml").write_text("clients = 0x" + "f" * 5000)
    (strange / "deep.toml").write_text("clients = " + "[" * 100_000)
    (strange / "log.csv").write_text("1,1\n")


JUDGE = ["oracle", "schedules", "--batch-size", "2"]
READING = {
    "grid": (
        ["sweep", "--out", "out", "--grid"],
        [*NO_FILES, "text", LATIN, "large.toml", "deep.toml"],
    ),
    "file": ([*JUDGE, "--law", "ugs", "--sizes", "1,1"], [*NO_FILES]),
    "class_counts": ([*JUDGE, "log.csv", "--law", "lds", "--class-counts"], [*NO_FILES, *JSON]),
}


@pytest.mark.usefixtures("texts", "unread")
@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, (_, paths) in READING.items() for path in paths]
)
def test_what_is_no_file_to_read(refused, name: str, path: str) -> None:
    assert refused(*READING[name][0], path).startswith(f"{name} = {path!r}"[:80])


@pytest.mark.usefixtures("strange")
@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_data_set(refused, strange: Path, kind: str) -> None:
    """In its folder's place, and in its first file's."""
    sets = {
        "fashion-mnist": "fashion-mnist/train-images-idx3-ubyte.gz",
        "cifar10": "cifar-10-batches-bin/data_batch_1.bin",
    }
    for name, file in sets.items():
        place = strange / "data" / file
        place.parent.mkdir(parents=True)
        place.symlink_to(strange / kind)
        for folder in ("data", kind):
            sentence = refused("compare", "--dataset", name, "--data-dir", folder)
            assert place.name in sentence


@pytest.mark.usefixtures("strange", "unread")
@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_checkpoint(refused, strange: Path, kind: str) -> None:
    (strange / "run").mkdir()
    (strange / "run" / "checkpoint.npz").symlink_to(strange / kind)
    assert refused("train", "--checkpoint", "run").startswith(
        "checkpoint = 'run': must be a folder"
    )
    assert refused("train", "--checkpoint", "run", "--resume").startswith(
        "checkpoint = 'run/checkpoint.npz': must be a checkpoint"
    )


GRIDS = [
    ("clients = 0x" + "f" * 5000, "clients = a number of 20000 bits: must be a whole number from"),
    ("clients = 8\nclients = 9", "grid = 'grid.toml': must be a TOML file"),
    ("[clients]\na = 1", "clients = {'a': 1}: must be a whole number from"),
    ("client = 8", "(did you mean 'clients'?)"),
    ("[grid]", "field of the grid = 'grid': must be one of"),
    ("clients = []", "clients = []: must be one value or more"),
    ("clients = [8, '9']", "clients = '9': must be a whole number"),
    ("clients = [[8]]", "clients = [8]: must be a whole number"),
    ("delta = [0, nan]", "delta = nan: must be a finite number"),
    ("delta = 1979-05-27", "delta = datetime.date(1979, 5, 27): must be a finite number"),
    ("sampler = 'usg'", "(did you mean 'ugs'?)"),
    ("sampler = [{}]", "sampler = {}: must be one of"),
    ("dataset = ['digits', 'digit']", "(did you mean 'digits'?)"),
    ("data_dir = 3", "data_dir = 3: must be the name of a folder"),
    ("hidden = 64", "hidden = 64: must be a list of widths, or a list of such lists"),
    ("hidden = [64, [32]]", "hidden = [64, [32]]: must be a list of widths"),
    ("hidden = '64'", "hidden = '64': must be a list of widths"),
    ("hidden = [[64.5]]", "hidden = 64.5: must be a whole number"),
    ("sampler = [['ugs']]", "sampler = ['ugs']: must be one of"),
    ("sampler = 3", "sampler = 3: must be one of"),
    ("hidden = [[[8]]]", "hidden = [8]: must be a whole number"),
    ('data_dir = "a\\u0000"', "data_dir = 'a\\x00': must be the name of a folder"),
    ("data_dir = ['a', 'b']", "data_dir = ['a', 'b']: must be one value"),
    ("delta = true", "delta = True: must be a finite number"),
    ("'' = 3", "field of the grid = '': must be one of"),
    ("seeds = 0", "seeds = 0: must be"),
    ("seeds = [1, 2]", "seeds = [1, 2]: must be one value\n"),
    ("seeds = 1e3", "seeds = 1000.0: must be a whole number"),
    ("seeds = 1_000_000_000_000", "seeds = 1000000000000: must be a whole number from 1 to 10000"),
    ("seed = -1", "seed = -1: must be"),
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("text", "sentence"), GRIDS)
def test_what_is_no_grid(refused, folder: Path, text: str, sentence: str) -> None:
    (folder / "grid.toml").write_text(text)
    assert sentence in refused("sweep", "--grid", "grid.toml", "--out", "out")


HEAVY = {"scipy", "matplotlib", "rich", "distributed", "pooch", "pslref.nn", "pslref.app.runs"}
AT_ONCE = [
    "--help", "compare --help", "sweep --help", "oracle check --help", "nonsense",
    "compare --nonsense", "compare --clients x", "train --clients 0", "oracle check --seed x",
]  # fmt: skip


def test_help_and_a_bad_option_do_not_wait_for_what_takes_long_to_import() -> None:
    program = f"""
import sys
from contextlib import suppress
import typer
heavy = {HEAVY!r} - sys.modules.keys()  # older Typers import Rich, whatever we do
from pslref.app import cli
for line in {AT_ONCE!r}:
    sys.argv = ["pslref", *line.split()]
    with suppress(SystemExit):
        cli.main()
    assert not heavy & sys.modules.keys(), line
sys.argv = ["pslref", "schedule", "--clients", "5"]
with suppress(SystemExit):
    cli.main()
assert "matplotlib" not in sys.modules  # who draws nothing does not wait for it
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (0, 5), done.stderr
