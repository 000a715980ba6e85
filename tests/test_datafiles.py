import gc
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pslref import data, datafiles
from pslref.app import compare
from pslref.app.config import Config

TRAIN, TEST = 30, 10  # images of the small files that stand in for the real ones
made_up = partial(data.load, files="any")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of few images, else as their authors made them."""
    counts = dict(zip(datafiles.FASHION_FILES, [TRAIN, TRAIN, TEST, TEST], strict=True))
    files = {
        name: ((counts[name], *old[1:]), m) for name, (old, m) in datafiles.FASHION_FILES.items()
    }
    monkeypatch.setattr(datafiles, "FASHION_FILES", files)
    monkeypatch.setattr(datafiles, "CIFAR_IMAGES", TEST)


def fashion_payloads(rng: np.random.Generator) -> dict[str, bytes]:
    """The four IDX files, unpacked, written byte by byte from the format's definition."""
    payloads = {}
    for part, count in [("train", TRAIN), ("t10k", TEST)]:
        pixels, labels = rng.bytes(count * 28 * 28), bytes(i % 10 for i in range(count))
        lengths = count.to_bytes(4, "big"), (28).to_bytes(4, "big"), (28).to_bytes(4, "big")
        payloads[f"{part}-images-idx3-ubyte.gz"] = b"\0\0\x08\x03" + b"".join(lengths) + pixels
        payloads[f"{part}-labels-idx1-ubyte.gz"] = b"\0\0\x08\x01" + lengths[0] + labels
    return payloads


def cifar_payloads(rng: np.random.Generator) -> dict[str, bytes]:
    """The six binary batches: a label, then 3 planes of 32 x 32, for each image."""
    names = [f"data_batch_{i}.bin" for i in (1, 2, 3, 4, 5)] + ["test_batch.bin"]
    return {n: b"".join(bytes([i]) + rng.bytes(3072) for i in range(TEST)) for n in names}


def write(folder: Path, payloads: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, payload in payloads.items():
        packed = gzip.compress(payload, 1) if name.endswith(".gz") else payload
        (folder / name).write_bytes(packed)


@pytest.fixture
def fashion(tmp_path: Path, small: None, rng: np.random.Generator) -> Path:
    write(tmp_path / "fashion-mnist", fashion_payloads(rng))
    return tmp_path


@pytest.fixture
def cifar(tmp_path: Path, small: None, rng: np.random.Generator) -> Path:
    write(tmp_path / "cifar-10-batches-bin", cifar_payloads(rng))
    return tmp_path


def refusal(call: Callable[[], object]) -> str:
    """The one line that a call is refused with."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_fashion_mnist_is_read_pixel_by_pixel(fashion: Path, rng: np.random.Generator) -> None:
    ds = made_up("fashion-mnist", fashion)
    assert ds.x_train.shape == (TRAIN, 28, 28, 1)
    assert ds.x_test.shape == (TEST, 28, 28, 1)
    assert ds.y_train.tolist() == [i % 10 for i in range(TRAIN)]
    packed = (fashion / "fashion-mnist" / "train-images-idx3-ubyte.gz").read_bytes()
    pixels = np.array(list(gzip.decompress(packed)[16:]), float)
    expected = (pixels - pixels.mean()) / pixels.std()
    for n, row, column in rng.integers(0, [TRAIN, 28, 28], (50, 3)):
        place = n * 784 + row * 28 + column
        assert ds.x_train[n, row, column, 0] == pytest.approx(expected[place], abs=1e-12)


def test_cifar10_is_read_plane_by_plane(cifar: Path, rng: np.random.Generator) -> None:
    ds = made_up("cifar10", cifar, dtype=np.float32)
    assert ds.x_train.shape == (5 * TEST, 32, 32, 3)
    assert ds.x_train.flags.c_contiguous
    assert ds.y_train.tolist() == 5 * list(range(10))
    assert ds.y_test.tolist() == list(range(10))
    folder = cifar / "cifar-10-batches-bin"
    read = b"".join((folder / f"data_batch_{i}.bin").read_bytes() for i in (1, 2, 3, 4, 5))
    test = (folder / "test_batch.bin").read_bytes()
    for channel in range(3):
        plane = [
            read[n * 3073 + 1 + channel * 1024 + place]
            for n in range(5 * TEST)
            for place in range(1024)
        ]
        mean, std = np.mean(plane), np.std(plane)
        for n, row, column in rng.integers(0, [TEST, 32, 32], (20, 3)):
            place = n * 3073 + 1 + channel * 1024 + row * 32 + column
            for pixels, raw in [(ds.x_train, read), (ds.x_test, test)]:
                value = pixels[n, row, column, channel]
                assert value == pytest.approx((raw[place] - mean) / std, abs=1e-6)


# Files that are missing or wrong


def test_a_missing_file_says_which_where_and_how_to_get_it(fashion: Path, tmp_path: Path) -> None:
    (fashion / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert refusal(lambda: made_up("fashion-mnist", fashion)) == (
        f"fashion-mnist needs the file t10k-labels-idx1-ubyte.gz, which is not in "
        f"{fashion / 'fashion-mnist'}: `pslref data get fashion-mnist --data-dir {fashion}` "
        "downloads it"
    )
    message = refusal(lambda: data.load("cifar10", "no/such/place"))
    assert "data_batch_1.bin" in message
    assert str(Path("no/such/place/cifar-10-batches-bin").absolute()) in message


def payload(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def packed(path: Path) -> bytes:
    return path.read_bytes()


def beside(path: Path, name: str) -> bytes:
    return path.with_name(f"{name}-ubyte.gz").read_bytes()


IMAGES, LABELS, BATCH = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "data_batch_3.bin",
)
DAMAGES: list[tuple[str, Callable[[Path], bytes], str]] = [
    (IMAGES, lambda p: packed(p)[:-1000], "must be a gzip file of 23536 bytes when unpacked: "),
    (IMAGES, lambda p: packed(p)[:5], "must be a gzip file of "),
    (IMAGES, lambda p: packed(p)[:-8] + bytes(8), "must be a gzip file of "),  # its checksum
    (IMAGES, lambda p: packed(p) + b"?", "must be a gzip file of "),
    (IMAGES, payload, r"Not a gzipped file (b'\x00\x00')"),
    (IMAGES, lambda p: b"", "opens with nothing, not with 00000803"),
    (
        IMAGES,
        lambda p: gzip.compress(payload(p)[:-1]),
        "must be a gzip file of 23536 bytes when unpacked: it holds 23535",
    ),
    (IMAGES, lambda p: gzip.compress(payload(p) + b"?"), "it holds more than 23536"),
    (IMAGES, lambda p: gzip.compress(payload(p)[1:]), "opens with 00080300 "),
    (IMAGES, lambda p: beside(p, "train-labels-idx1"), "opens with 00000801 "),
    (IMAGES, lambda p: beside(p, "t10k-images-idx3"), "not with 00000803 0000001e"),
    (LABELS, lambda p: beside(p, "t10k-labels-idx1"), "opens with 00000801 0000000a, not"),
    (
        LABELS,
        lambda p: gzip.compress(payload(p)[:-1] + b"\xff"),
        "holds label 255: must be from 0 ",
    ),
    (BATCH, lambda p: packed(p)[:-1], "must be a file of 30730 bytes: it holds 30729"),
    (BATCH, lambda p: packed(p) + b"?", "it holds more than 30730"),
    (BATCH, lambda p: b"\x0a" + packed(p)[1:], "holds label 10: must be from 0 to 9"),
]


@pytest.mark.parametrize(("file", "damage", "tells"), DAMAGES)
def test_a_damaged_or_swapped_file_is_refused(
    fashion: Path, cifar: Path, file: str, damage: Callable[[Path], bytes], tells: str
) -> None:
    (path,) = fashion.glob(f"*/{file}")
    path.write_bytes(damage(path))
    message = refusal(lambda: made_up("cifar10" if file == BATCH else "fashion-mnist", fashion))
    assert str(path) in message
    assert tells in message


def test_what_is_no_file_is_refused(cifar: Path) -> None:
    path = cifar / "cifar-10-batches-bin" / "data_batch_1.bin"
    assert "which is not in" in refusal(lambda: made_up("cifar10", path))
    path.unlink()
    path.mkdir()
    assert refusal(lambda: made_up("cifar10", cifar)) == (
        f"file = '{path}': must be a file of 30730 bytes: it is not a regular file"
    )


def test_a_file_that_unpacks_to_gigabytes_takes_no_memory(fashion: Path) -> None:
    """200 MB of zeros behind a true header; the right payload has 23,536 bytes."""
    path = fashion / "fashion-mnist" / "train-images-idx3-ubyte.gz"
    header = gzip.decompress(path.read_bytes())[:16]
    path.write_bytes(gzip.compress(header) + gzip.compress(bytes(2**20)) * 200)
    tracemalloc.start()
    assert "more than 23536" in refusal(lambda: made_up("fashion-mnist", fashion))
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_zeros_without_end_behind_a_right_file_are_not_read(
    fashion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 GB of them, in a file with a hole: gzip would skip them one by one."""
    path = fashion / "fashion-mnist" / "train-images-idx3-ubyte.gz"
    os.truncate(path, 2**36)
    monkeypatch.setattr(gzip, "GzipFile", lambda **_: pytest.fail("too late"))
    assert "more than 23536" in refusal(lambda: data.load("fashion-mnist", fashion))


changes = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(unpacked=changes, packed=changes, cut=st.integers(-100, 50))
def test_an_idx_file_with_changed_bytes_is_read_or_refused(
    fashion: Path, unpacked: list[tuple[int, int]], packed: list[tuple[int, int]], cut: int
) -> None:
    """Bytes of the header are changed before packing, others after it; the file may end early."""
    path = fashion / "fashion-mnist" / "train-labels-idx1-ubyte.gz"
    payload = bytearray(fashion_payloads(np.random.default_rng(0))[path.name])
    for place, byte in unpacked:
        payload[place % 8] = byte
    file = bytearray(gzip.compress(payload))
    for place, byte in packed:
        file[place % len(file)] = byte
    path.write_bytes(file[: len(file) - max(0, cut)])
    try:
        told = f"{path}: {made_up('fashion-mnist', fashion).y_train}"
    except ValueError as error:
        told = str(error)
    assert str(path) in told


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary() | st.binary().map(gzip.compress) | st.binary().map(b"\x1f\x8b".__add__))
def test_any_bytes_instead_of_a_file_are_refused(fashion: Path, content: bytes) -> None:
    path = fashion / "fashion-mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    assert str(path) in refusal(lambda: made_up("fashion-mnist", fashion))


def test_unknown_names_and_types_are_refused_with_the_nearest() -> None:
    assert "did you mean 'cifar10'?" in refusal(lambda: data.load("cifar-10"))
    assert "did you mean 'fashion-mnist'?" in refusal(lambda: datafiles.download("fashion_mnist"))
    assert "must be float32 or float64" in refusal(lambda: data.load("digits", dtype=np.int8))


# Files of another content, of which nothing else shows that they are others


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("fashion-mnist", "fashion-mnist/t10k-labels-idx1-ubyte.gz"),
        ("cifar10", "cifar-10-batches-bin/data_batch_4.bin"),
    ],
)
def test_only_what_the_authors_published_passes_unless_any_may(
    fashion: Path, cifar: Path, name: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {}
    for path in sorted(fashion.glob("*/*.*")):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        held[path.stem] = hashlib.sha256(content).hexdigest()
    assert held.keys() == datafiles.SHA256.keys()
    monkeypatch.setattr(datafiles, "SHA256", held)
    assert (data.load(name, fashion).x_train == made_up(name, fashion).x_train).all()
    path = fashion / file
    digest = held[path.stem]
    held[path.stem] = "0123"
    assert refusal(lambda: data.load(name, fashion)) == (
        f"{path} holds other data than its authors published, of sha256 {digest}: must be 0123, "
        "unless files = 'any'"
    )


def test_made_up_files_are_refused_before_the_training_and_named_in_the_config(
    fashion: Path, tmp_path: Path
) -> None:
    config = Config("fashion-mnist", str(fashion), sampler="ugs", batch_size=8)
    config = replace(config, partition="iid", epochs=1)
    out = tmp_path / "out"
    assert "holds other data" in refusal(lambda: compare.compare([config], out=out))
    assert not out.exists()
    compare.compare([replace(config, files="any")], out=out)
    assert json.loads((out / "config.json").read_text())["files"] == "any"


# Downloads, from a server on this machine

unclosed = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # by requests


class Server(ThreadingHTTPServer):
    """Serves `pages`; counts the requests; breaks off after half of a page named in `broken`."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.broken: set[str] = set()
        self.requests: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.server.requests[name] += 1
        page = self.server.pages.get(name)
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Length", str(len(page or b"")))
        self.end_headers()
        self.wfile.write(
            (page or b"")[: len(page or b"") // (2 if name in self.server.broken else 1)]
        )

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, small: None) -> Iterator[Server]:
    """A server of the small files, and SOURCES that point to it."""
    rng = np.random.default_rng(0)
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for name, payload in fashion_payloads(rng).items():
            server.pages[name] = gzip.compress(payload, 1)
        server.pages["cifar-10-binary.tar.gz"] = archive(cifar_payloads(rng))

        def here(place: str) -> tuple[str, str, str]:
            name = Path(place).name
            md5 = hashlib.md5(server.pages[name]).hexdigest()
            return f"http://127.0.0.1:{server.server_port}/{name}", place, f"md5:{md5}"

        sources = {n: [here(place) for _, place, _ in old] for n, old in datafiles.SOURCES.items()}
        monkeypatch.setattr(datafiles, "SOURCES", sources)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.shutdown()
        gc.collect()  # closes the sockets that requests forgot, here and not in another test


def archive(payloads: dict[str, bytes]) -> bytes:
    """As the authors': the batches with a text beside them; and what no archive should hold."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        others = {"batches.meta.txt": b"airplane", "../../outside.txt": b"evil"}
        for name, payload in {**others, **payloads}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(payload)
            tar.addfile(member, io.BytesIO(payload))
    return buffer.getvalue()


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@unclosed
@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])
def test_a_download_can_be_loaded_and_is_not_repeated(
    server: Server, tmp_path: Path, name: str
) -> None:
    paths = datafiles.download(name, tmp_path / "new")
    assert all(path.is_file() for path in paths)
    assert made_up(name, tmp_path / "new").num_classes == 10
    assert datafiles.download(name, tmp_path / "new") == paths
    assert set(server.requests.values()) == {1}
    kept = {"cifar-10-binary.tar.gz"} if name == "cifar10" else set()
    read = {path.relative_to(tmp_path / "new").as_posix() for path in paths}
    assert files_in(tmp_path) == {f"new/{file}" for file in read | kept}


@unclosed
@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])
@pytest.mark.parametrize("fault", ["missing", "changed", "broken"])
def test_a_failed_download_is_one_sentence_and_leaves_nothing(
    server: Server, tmp_path: Path, name: str, fault: str
) -> None:
    url, place, _ = datafiles.SOURCES[name][0]
    file = Path(place).name
    if fault == "missing":
        del server.pages[file]
    elif fault == "changed":
        server.pages[file] = server.pages[file][:-1] + b"?"
    else:
        server.broken.add(file)
    message = refusal(lambda: datafiles.download(name, tmp_path))
    assert message.startswith(f"{url} cannot be downloaded to {tmp_path / place}: ")
    assert {"missing": "404", "changed": "hash", "broken": "IncompleteRead"}[fault] in message
    assert files_in(tmp_path) == set()


@unclosed
def test_a_wrong_file_that_is_already_there_is_replaced(server: Server, tmp_path: Path) -> None:
    paths = datafiles.download("fashion-mnist", tmp_path)
    whole = paths[2].read_bytes()
    paths[2].write_bytes(b"half")
    datafiles.download("fashion-mnist", tmp_path)
    assert paths[2].read_bytes() == whole


@unclosed
def test_without_a_network_a_download_is_refused(server: Server, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    message = refusal(lambda: datafiles.download("cifar10", tmp_path))
    assert "cifar-10-binary.tar.gz cannot be downloaded to" in message


def test_digits_need_no_download() -> None:
    message = refusal(lambda: datafiles.download("digits"))
    assert message == "name = 'digits': must be another: this one is part of pslref"


def test_without_pooch_a_download_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    message = refusal(lambda: datafiles.download("cifar10"))
    assert message == "downloading cifar10 needs pooch: pip install pooch"
