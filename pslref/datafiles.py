"""The files of data sets, also of somebody's own: read with suspicion, downloaded whole."""

import gzip
import hashlib
from functools import lru_cache
from math import prod
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from pslref import check, files
from pslref.check import Array, DTypeLike, IntArray

# Training samples and labels, test samples and labels, who holds those of the training set.
Raw = tuple[Array, IntArray, Array, IntArray, Array | None]

MOST_VALUE = 1e150  # whose square is finite
MOST_CLASSES = 100_000
OWN, OWNERS = ("x_train", "y_train", "x_test", "y_test"), "owners_train"
FASHION_FILES = {  # shape, published md5
    "train-images-idx3-ubyte.gz": ((60_000, 28, 28), "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "train-labels-idx1-ubyte.gz": ((60_000,), "25c81989df183df01b3e8a0aad5dffbe"),
    "t10k-images-idx3-ubyte.gz": ((10_000, 28, 28), "bef4ecab320f06d8554ea6380940ec79"),
    "t10k-labels-idx1-ubyte.gz": ((10_000,), "bb300cfdad3c16e7a12a480ee83cd310"),
}
CIFAR_FOLDER = "cifar-10-batches-bin"
CIFAR_FILES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
CIFAR_IMAGES = 10_000  # in each file
# Of what the files hold. The .gz with the published md5 unpack to these; the .bin have the sha1
# that Apache MXNet (gluon/data/vision/datasets.py) states for what is in the archive.
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    "data_batch_1": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
SOURCES = {  # on their authors' servers: address, place in the data directory, published checksum
    "fashion-mnist": [
        (f"{FASHION_URL}/{file}", f"fashion-mnist/{file}", f"md5:{md5}")
        for file, (_, md5) in FASHION_FILES.items()
    ],
    "cifar10": [
        (
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "cifar-10-binary.tar.gz",
            "md5:c32a1d4ab5d03f1284b67883e8d87530",
        )
    ],
}


def _digits(data_dir: Path, published: bool) -> Raw:
    file = Path(__file__).parent / "shipped" / "digits.npz"
    with np.load(file, allow_pickle=False) as arrays:
        return (*(arrays[name] for name in OWN), None)


def _fashion_mnist(data_dir: Path, published: bool) -> Raw:
    paths = [data_dir / "fashion-mnist" / file for file in FASHION_FILES]
    arrays = []
    for path, (shape, _) in zip(paths, FASHION_FILES.values(), strict=True):
        # An IDX file opens with 00 00, 08 for bytes, its dimensions, then each one's length.
        header = np.array([0x800 + len(shape), *shape], ">u4").tobytes()
        data = _read("fashion-mnist", path, len(header) + prod(shape), published, header)
        arrays.append(np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape))
    x_train, y_train, x_test, y_test = arrays
    x_train, x_test = x_train[..., np.newaxis], x_test[..., np.newaxis]
    return x_train, _labels(paths[1], y_train), x_test, _labels(paths[3], y_test), None


def _cifar10(data_dir: Path, published: bool) -> Raw:
    images, labels = [], []
    for file in CIFAR_FILES:
        path = data_dir / CIFAR_FOLDER / file
        # A record is a label, then a red, a green and a blue plane, each row by row.
        data = _read("cifar10", path, CIFAR_IMAGES * 3073, published)
        records = np.frombuffer(data, np.uint8).reshape(-1, 3073)
        labels.append(_labels(path, records[:, 0]))
        images.append(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return np.concatenate(images[:5]), np.concatenate(labels[:5]), images[5], labels[5], None


def _labels(path: Path, labels: Array) -> IntArray:
    if labels.max() > 9:
        raise ValueError(f"{path} holds label {labels.max()}: must be from 0 to 9")
    return labels.astype(np.int64)


def _read(name: str, path: Path, size: int, published: bool, header: bytes = b"") -> bytes:
    """The `size` bytes of a file, unpacked if it is gzipped; never reads more than one more."""
    if not path.exists():
        raise ValueError(
            f"{name} needs the file {path.name}, which is not in {path.parent.absolute()}: "
            f"`pslref data get {name} --data-dir {path.parents[1]}` downloads it"
        )
    packed = path.suffix == ".gz"
    allowed = f"must be a {'gzip ' * packed}file of {size} bytes{' when unpacked' * packed}"
    with files.reading("file", path, allowed) as file:
        if path.stat().st_size > 1.001 * size + 1000:  # gzip would skip any zeros at the end
            raise ValueError(f"it holds more than {size}")
        data = (gzip.GzipFile(fileobj=file) if packed else file).read(size + 1)
        if not data.startswith(header):
            opening = data[: len(header)].hex(" ", 4) or "nothing"
            raise ValueError(f"it opens with {opening}, not with {header.hex(' ', 4)}")
        if len(data) != size:
            raise ValueError(f"it holds {f'more than {size}' if len(data) > size else len(data)}")
    digest = hashlib.sha256(data).hexdigest()
    if published and digest != SHA256[path.stem]:
        raise ValueError(
            f"{path} holds other data than its authors published, of sha256 {digest}: must be "
            f"{SHA256[path.stem]}, unless files = 'any'"
        )
    return data


READERS = {"digits": _digits, "fashion-mnist": _fashion_mnist, "cifar10": _cifar10}


def read(name: str, data_dir: str | Path, published: bool) -> Raw:
    """The images of one of the READERS as they are in its files; `published`: no others."""
    return READERS[name](Path(data_dir), published)


def read_own(name: str) -> Raw:
    """The samples of somebody's own .npz file."""
    path = Path(name)
    with files.reading("dataset", path, "must be an .npz file of arrays") as file:
        if not is_zipfile(file):
            raise ValueError("it is no zip archive")
        file.seek(0)
        arrays = np.load(file, allow_pickle=False)
        found = {name: arrays[name] for name in (*OWN, OWNERS) if name in arrays.files}
    for name in OWN:
        if name not in found:
            raise check.wrong("dataset", str(path), f"must have {', '.join(OWN)}, but lacks {name}")
        if name.startswith("x") and check.numbers(name, found[name]).ndim not in (2, 4):
            allowed = "must be (images, height, width, channels) or (samples, features)"
            raise check.wrong(f"{name}.shape of {path}", found[name].shape, allowed)
        if name.startswith("x") and not float(np.abs(found[name]).max(initial=0)) < MOST_VALUE:
            allowed = f"must be finite numbers, below {MOST_VALUE:g}"
            raise check.wrong(f"{name} of {path}", found[name], allowed)
    x_train, x_test = found["x_train"], found["x_test"]
    if x_train.shape[1:] != x_test.shape[1:]:
        shapes = f"{x_train.shape[1:]} and {x_test.shape[1:]}"
        raise ValueError(f"x_train and x_test of {path} have samples of {shapes}: must be the same")
    y_train, y_test = (_own_labels(name, path, found[name]) for name in ("y_train", "y_test"))
    if not (x_train.size and x_test.size and y_train.size and y_test.size):
        raise check.wrong("dataset", str(path), "must have samples to train and to test with")
    owners = found.get(OWNERS)
    if owners is not None and (owners.shape != y_train.shape or owners.dtype.kind not in "iuU"):
        allowed = "must be a whole number or a name for each training sample"
        raise check.wrong(f"{OWNERS} of {path}", owners, allowed)
    return x_train, y_train, x_test, y_test, owners


def _own_labels(name: str, path: Path, labels: Array) -> IntArray:
    """Labels of somebody's own; of those that are none the first is shown."""
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        for place in np.flatnonzero((labels < 0) | (labels >= MOST_CLASSES))[:1].tolist():
            allowed = f"must be a label from 0 to {MOST_CLASSES - 1}: there is a class for each"
            raise check.wrong(f"{name}[{place}] of {path}", int(labels[place]), allowed)
    return check.integers(f"{name} of {path}", labels, ndim=1)


def is_own(name: object) -> bool:
    """Whether a name of a data set is the path of somebody's own."""
    return isinstance(name, str) and name.lower().endswith(".npz")


def standardized(x_train: Array, x_test: Array, dtype: DTypeLike) -> list[Array]:
    """(x - mean) / std of each channel or feature, over the training set, in float64. [reading]"""
    axes = tuple(range(x_train.ndim - 1))
    mean, std = x_train.mean(axis=axes, dtype=np.float64), x_train.std(axis=axes, dtype=np.float64)
    std[x_train.min(axis=axes) == x_train.max(axis=axes)] = 1  # where it is 0 but for rounding
    made = []
    for samples in (x_train, x_test):
        x = np.empty(samples.shape, dtype)
        for sample, out in zip(samples, x, strict=True):  # or float64 takes gigabytes
            out[...] = (sample - mean) / std
        x.setflags(write=False)
        made.append(x)
    return made


def digest(path: Path) -> str:
    """The sha256 of a file, which is read again only if it has changed."""
    with files.reading("dataset", path):
        found = path.stat()
        return _digest(path, found.st_size, found.st_mtime_ns)


@lru_cache
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return files.digest(file)


def download(name: str, data_dir: str | Path = "data") -> list[Path]:
    """Fetch fashion-mnist or cifar10 into the layout that `load` reads; needs the extra `data`.

    Every file is checked against its published checksum and appears whole or not at all. Files
    that are already there and right are not fetched again; the CIFAR-10 archive is kept for that.

    Args:
        name: fashion-mnist (31 MB) or cifar10 (170 MB).
        data_dir: the folder to fill; made if it does not exist.

    Returns:
        The files that `load` reads.

    Raises:
        ValueError: also without pooch, or when a file cannot be had: no network, no such page,
            another checksum, no room on the disk.
    """
    if check.one_of("name", name, READERS) == "digits":
        raise check.wrong("name", name, "must be another: this one is part of pslref")
    files.check_outputs(("data_dir", Path(data_dir), [place for _, place, _ in SOURCES[name]]))
    check.installed("pooch", f"downloading {name}")
    import pooch  # type: ignore[import-untyped]

    paths = [Path(data_dir, place) for _, place, _ in SOURCES[name]]
    for (url, _, checksum), path in zip(SOURCES[name], paths, strict=True):
        try:
            pooch.retrieve(url, checksum, fname=path.name, path=path.parent)
            if name == "cifar10":
                paths = _unpacked(path)
        except (OSError, ValueError) as error:
            reason = check.one_line(str(error))
            raise ValueError(f"{url} cannot be downloaded to {path}: {reason}") from None
    return paths


def _unpacked(archive: Path) -> list[Path]:
    import tarfile

    folder = archive.parent / CIFAR_FOLDER
    with tarfile.open(archive) as tar:
        for file in CIFAR_FILES:
            member = tar.extractfile(f"{CIFAR_FOLDER}/{file}")
            assert member is not None  # the checksum has vouched for the archive
            with files.replacing(folder / file) as temporary:
                temporary.write_bytes(member.read())
    return [folder / file for file in CIFAR_FILES]
