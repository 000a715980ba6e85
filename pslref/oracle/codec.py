"""Values as JSON: an array is {"dtype", "shape", "data"}, its data flat, the last axis fastest."""

import math
from reprlib import repr as short
from typing import Any

import numpy as np

DTYPES = ("float32", "float64", "int64")
WIDER = {"i": "int64", "u": "int64", "f": "float64"}
MOST_AXES = 32


def encode(value: Any) -> Any:
    """NumPy arrays and numbers, in dictionaries and lists, as what `json` can write.

    Floats are written with the fewest digits that give the same float64 again.

    Raises:
        ValueError: for an array that does not hold real numbers.
    """
    if isinstance(value, dict):
        return {name: encode(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [encode(entry) for entry in value]
    if not isinstance(value, np.ndarray | np.generic):
        return value
    if value.dtype.kind not in WIDER:
        raise ValueError(f"holds {value.dtype}, not numbers")
    dtype = value.dtype.name if value.dtype.name in DTYPES else WIDER[value.dtype.kind]
    array = np.asarray(value).astype(dtype)
    if not array.ndim:
        return array.item()
    return {"dtype": dtype, "shape": list(array.shape), "data": array.ravel().tolist()}


def decode(value: Any) -> Any:
    """The reverse of `encode`; a null among the numbers, as JavaScript writes NaN, is a NaN.

    Raises:
        ValueError: for an array whose data do not fill its shape or are no numbers.
    """
    if isinstance(value, list):
        return [decode(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {"dtype", "shape", "data"}:
        return {name: decode(entry) for name, entry in value.items()}
    dtype, shape, data = value["dtype"], value["shape"], value["data"]
    if dtype not in DTYPES:
        raise ValueError(f"an array's dtype is {short(dtype)}: must be one of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array's shape is {short(shape)}: must be a list of whole numbers")
    if len(shape) > MOST_AXES:  # to multiply a million huge numbers takes hours
        raise ValueError(f"an array has {len(shape)} axes: must have at most {MOST_AXES}")
    if not isinstance(data, list) or len(data) != math.prod(shape):
        raise ValueError(f"an array's data do not fill its shape {short(shape)}")
    if not all(type(n) in (int, float) or n is None for n in data):
        raise ValueError("an array's data hold something that is no number")
    numbers = [math.nan if n is None else n for n in data]
    # A language with one kind of number may write 3.0 for 3; 3.5 stays, and will be found wrong.
    exact = dtype != "int64" or all(type(n) is int for n in numbers)
    try:
        with np.errstate(over="ignore"):  # an infinite float32 will be found wrong too
            return np.array(numbers, dtype if exact else np.float64).reshape(shape)
    except OverflowError:
        raise ValueError("an array's data hold a number of more than 64 bits") from None
