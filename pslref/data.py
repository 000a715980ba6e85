"""Labelled images or features: digits, Fashion-MNIST, CIFAR-10, or a file of your own."""

from pathlib import Path

import numpy as np

from pslref import check, datafiles
from pslref.check import Array, ArrayLike, DTypeLike, IntArray

FILES = ["published", "any"]
NAMES = list(datafiles.READERS)


class Dataset:
    """Labelled samples in a training and a test set; build one from any arrays.

    Args:
        name: what tables and figures call it.
        x_train: (N, H, W, C) images, channels last, or (N, D) features; float64 or float32,
            finite. What can be written to is copied; all that the data set holds is read-only.
        y_train: (N,) labels, whole numbers 0..M-1; copied, int64.
        x_test: samples of the same shape.
        y_test: their labels.
        num_classes: the number of classes M; a class may have no sample.
        owners: (N,) who holds each training sample, numbers or names; None if nobody says.
    """

    def __init__(
        self,
        name: str,
        x_train: ArrayLike,
        y_train: ArrayLike,
        x_test: ArrayLike,
        y_test: ArrayLike,
        num_classes: int,
        owners: ArrayLike | None = None,
    ) -> None:
        self.name, self.num_classes = name, check.integer("num_classes", num_classes, 1)
        self.x_train, self.y_train = _labelled("train", x_train, y_train, self.num_classes)
        self.x_test, self.y_test = _labelled("test", x_test, y_test, self.num_classes)
        shape, other = self.x_train.shape[1:], self.x_test.shape[1:]
        if shape != other:
            what = "x_train and x_test have samples of shape"
            raise ValueError(f"{what} {shape} and {other}: must be the same")
        self.owners = None if owners is None else np.array(owners)
        if self.owners is not None and self.owners.shape != self.y_train.shape:
            raise check.wrong("owners.shape", self.owners.shape, f"must be {self.y_train.shape}")


def _labelled(part: str, images: ArrayLike, labels: ArrayLike, m: int) -> tuple[Array, IntArray]:
    x, y = check.numbers(f"x_{part}", images), check.integers(f"y_{part}", labels, ndim=1)
    if x.dtype not in check.FLOATS or x.ndim not in (2, 4) or x.size == 0:
        raise ValueError(
            f"x_{part} is {x.dtype} of shape {x.shape}: must be float64 or float32 of shape "
            "(images, height, width, channels) or (samples, features), none of them 0"
        )
    if not (np.isfinite(x.min()) and np.isfinite(x.max())):
        raise ValueError(f"x_{part} holds NaN or infinity: every number must be finite")
    if len(x) != len(y):
        raise ValueError(
            f"x_{part} has {len(x)} samples and y_{part} {len(y)} labels: must be as many"
        )
    if y.max() >= m:
        raise ValueError(f"y_{part} holds label {y.max()}: must be from 0 to {m - 1}")
    if x.flags.writeable:
        x = x.copy()
    for array in (x, y):
        array.setflags(write=False)
    return x, y


def load(
    name: str,
    data_dir: str | Path = "data",
    dtype: DTypeLike = np.float64,
    files: str = "published",
) -> Dataset:
    """One of the data sets digits, fashion-mnist, cifar10, or your own; standardized.

    Args:
        name: digits (8×8×1; 1,442 training and 355 test images) needs no files;
            fashion-mnist (28×28×1; 60,000 and 10,000) and cifar10 (32×32×3; 50,000 and 10,000)
            are read from their authors' own files; or the path of an .npz file with x_train,
            y_train, x_test, y_test and perhaps owners_train, as in `Dataset`, of any numbers.
        data_dir: the folder that holds fashion-mnist/*.gz or cifar-10-batches-bin/*.bin.
        dtype: of the images, float64 or float32.
        files: "published" refuses files that hold something else than their authors published;
            "any" takes all of the same format and shapes.
    """
    own = datafiles.is_own(name)
    if not own:
        check.one_of("name", name, NAMES)
    dtype = check.float_dtype("dtype", dtype)
    check.one_of("files", files, FILES)
    if not isinstance(data_dir, str | Path):
        raise check.wrong("data_dir", data_dir, "must be the name of a folder")
    raw = datafiles.read_own(name) if own else datafiles.read(name, data_dir, files == "published")
    x_train, y_train, x_test, y_test, owners = raw
    x_train, x_test = datafiles.standardized(x_train, x_test, dtype)
    num_classes = max(y_train.max(), y_test.max()) + 1 if own else 10
    return Dataset(name, x_train, y_train, x_test, y_test, num_classes, owners)
