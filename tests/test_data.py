import hashlib
from importlib import resources
from typing import Any

import numpy as np
import pytest

from pslref import data
from pslref.data import Dataset


def test_digits_are_the_1797_images_of_the_uci_test_file() -> None:
    """The counts are those that UCI states; the digest is that of the split in the licence file."""
    shipped = resources.files("pslref") / "shipped"
    assert len((shipped / "digits.npz").read_bytes()) < 100_000
    assert "CC BY 4.0" in (shipped / "digits.LICENSE.txt").read_text()
    with (shipped / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as raw:
        arrays = [raw[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    ds = data.load("digits")
    everybody = np.bincount(np.concatenate([ds.y_train, ds.y_test]))
    assert everybody.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(ds.y_test).tolist() == [n // 5 for n in everybody]
    assert ds.x_train.shape == (1442, 8, 8, 1)
    assert ds.x_test.shape == (355, 8, 8, 1)
    assert hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest() == (
        "eb16a5b9fcc31197ecd8be8456b687084ffc10eb4cc2efbd406de3cc793713c8"
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pixels_are_standardized_with_training_statistics(dtype: type) -> None:
    file = resources.files("pslref") / "shipped" / "digits.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as raw:
        train, test = raw["x_train"].astype(np.float64), raw["x_test"].astype(np.float64)
    mean = train.sum() / train.size
    std = (((train - mean) ** 2).sum() / train.size) ** 0.5
    ds = data.load("digits", dtype=dtype)
    assert ds.x_train.dtype == ds.x_test.dtype == dtype
    np.testing.assert_allclose(ds.x_train, (train - mean) / std, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ds.x_test, (test - mean) / std, rtol=1e-6, atol=1e-6)
    if dtype == np.float64:
        assert abs(ds.x_train.mean()) < 1e-12
        assert abs(ds.x_train.std() - 1) < 1e-12


def own(**changes: Any) -> Dataset:
    pixels = np.zeros((3, 2, 2, 1))
    arrays = {"x_train": pixels, "y_train": [0, 1, 4], "x_test": pixels[:1], "y_test": [2]}
    return Dataset(**{"name": "own", "num_classes": 5, **arrays, **changes})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_pixel_among_many_is_seen(bad: float) -> None:
    pixels = np.zeros((3, 2, 2, 1), np.float32)
    pixels[1, 0, 1, 0] = bad
    with pytest.raises(ValueError, match="x_train holds NaN or infinity"):
        own(x_train=pixels)


def test_a_data_set_keeps_its_own_arrays() -> None:
    pixels, labels = np.zeros((3, 2, 2, 1)), np.array([0, 1, 4])
    ds = own(x_train=pixels, y_train=labels)
    pixels[0], labels[0] = 7, 3
    assert not ds.x_train.any()
    assert ds.y_train.tolist() == [0, 1, 4]
    for array in (ds.x_train, ds.y_train, ds.x_test, ds.y_test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
