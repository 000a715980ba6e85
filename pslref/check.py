"""One sentence for a user's mistake: the argument, its value, and what is allowed.

Every room may call these; each raises `ValueError` with a sentence that stands on its own.
"""

import operator
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike as ArrayLike
    from numpy.typing import DTypeLike as DTypeLike
else:  # the names alone: help() would show the unions they stand for, in a thousand letters
    ArrayLike = type("ArrayLike", (), {"__module__": "numpy.typing"})
    DTypeLike = type("DTypeLike", (), {"__module__": "numpy.typing"})

Number = TypeVar("Number", int, float)
Array = NDArray[Any]  # of what the docstring says; of a network float32 or float64, as it is
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

OTHER_NAMES = {"gpsl": "ugs"}  # what the paper's later versions say
MOST_SAMPLES = 3_000_000_000  # so that batch_size * n_k fits into int64
MOST_NUMBERS = 2**28  # in one array: 2 GiB; asked before it is made
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:  # Python itself refuses over 4,300 digits
        bits = x.bit_length()
        return super().repr_int(x, level) if bits < 10_000 else f"a number of {bits} bits"


_short = _Short()
_short.maxstring = 200  # the name of a file is shown whole


def wrong(name: str, value: object, allowed: str) -> ValueError:
    """The error to raise: `name = value: allowed`."""
    return ValueError(f"{name} = {one_line(_short.repr(value))}: {allowed}")


def one_line(text: str) -> str:
    """The lines of a text, such as an array's, in one; two spaces in a file's name are two."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def number(text: str, kind: type[Number]) -> Number:
    """The number that a text is; not that of 1_0, which to Python is ten."""
    if "_" in text:
        raise ValueError
    return kind(text)


def integer(name: str, value: object, low: int, high: int | None = None) -> int:
    """`value` as an int in low..high (both included)."""
    allowed = f"must be a whole number, {low} or more"
    if high is not None:
        allowed = f"must be a whole number from {low} to {high}"
    if isinstance(value, np.bool_):  # the first releases of NumPy 2 give its index, and warn
        raise wrong(name, value, allowed)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise wrong(name, value, allowed) from None
    if _masked_or_bool(value) or number < low or (high is not None and number > high):
        raise wrong(name, value, allowed)
    return number


def real(
    name: str, value: object, low: float, high: float = np.inf, *, low_open: bool = False
) -> float:
    """`value` as a finite float in low..high; `low_open` leaves out low itself."""
    above = f"greater than {low:g}" if low_open else f"{low:g} or more"
    allowed = f"must be a finite number, {above}" + (f", at most {high:g}" if high < np.inf else "")
    try:
        number = float(value) if isinstance(value, Real) else np.nan
    except OverflowError:
        number = np.nan
    too_low = number <= low if low_open else number < low
    if _masked_or_bool(value) or not np.isfinite(number) or too_low or number > high:
        raise wrong(name, value, allowed)
    return number


def one_of(name: str, value: object, allowed: Iterable[str], said: str = "") -> str:
    """`value` if it is one of the names `allowed`; the error suggests the nearest.

    It says that value must be one of these names, or what is `said` in their place.
    """
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    meant = str(value).lower()
    near = get_close_matches(OTHER_NAMES.get(meant, meant), names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise wrong(name, value, f"must be {said or 'one of ' + ', '.join(names)}{hint}")


def installed(module: str, what: str) -> None:
    """Refuse to do `what` without an optional package."""
    try:
        import_module(module)
    except ModuleNotFoundError:
        raise ValueError(f"{what} needs {module}: pip install {module}") from None


def generator(name: str, value: object) -> None:
    """Refuse a `value` that is no random generator, such as a seed."""
    if not isinstance(value, np.random.Generator):
        raise wrong(name, value, "must be a numpy.random.Generator, not a seed")


def kind(name: str, value: object, wanted: type) -> None:
    """Refuse a `value` that is no `wanted`."""
    if not isinstance(value, wanted):
        raise wrong(name, value, f"must be a {wanted.__name__}, not a {type(value).__name__}")


def sequence(name: str, value: object) -> None:
    """Refuse a `value` that has no length, and text."""
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        raise wrong(name, value, "must be a sequence, such as a list")


def each_once(what: str, names: Sequence[str]) -> None:
    """Refuse a name that is empty, or there twice."""
    seen: set[str] = set()
    for name in names:
        if not name or name in seen:
            raise wrong(what, name, "must have a name, and each another")
        seen.add(name)


def same(what: str, found: object, wanted: Mapping[str, object], allowed: str) -> None:
    """Refuse a `found` that has not all the fields of `wanted` with the same values."""
    values = found if isinstance(found, Mapping) else {}
    differ = [name for name in wanted if repr(values.get(name)) != repr(wanted[name])]
    if differ:
        was, now = (
            " and ".join(f"{name} = {_short.repr(fields.get(name))}" for name in differ)
            for fields in (values, wanted)
        )
        raise ValueError(f"{what} {was}, not {now}: {allowed}")


def float_dtype(name: str, value: DTypeLike) -> np.dtype[Any]:
    """`value` as one of the dtypes float32 and float64."""
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        dtype = np.dtype(object)
    if dtype not in FLOATS:
        raise wrong(name, value, "must be float32 or float64")
    return dtype


def _array(name: str, value: ArrayLike, allowed: str) -> Array:
    """`value` as an array; NumPy would drop a mask, and among numbers make True a 1."""
    if _masked_or_bool(value):
        raise wrong(name, value, f"{allowed}, none masked, no truth values")
    try:
        return np.asarray(value)
    except ValueError:  # rows of different lengths
        raise wrong(name, value, allowed) from None


def _masked_or_bool(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_masked_or_bool, value))
    is_bool = isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_
    return is_bool or isinstance(value, np.ma.MaskedArray)


def numbers(name: str, value: ArrayLike) -> Array:
    """`value` as an array of real numbers of any shape; the same array if it is one."""
    allowed = "must be an array of real numbers"
    array = _array(name, value, allowed)
    if array.dtype.kind not in "iuf":
        raise wrong(name, value, allowed)
    return array


def floats(name: str, value: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """`value` as an array of `dtype`; if None, of its own, which is float64 for whole numbers.

    It is the same array if it is one already. float16 and long double are refused.
    """
    array = numbers(name, value)
    own = array.dtype
    if own not in FLOATS:  # looked at before all else: most are
        own = own.newbyteorder("=") if own.kind == "f" else np.dtype(np.float64)
        if own not in FLOATS:
            raise wrong(f"{name}.dtype", own.name, "must be float32, float64 or whole numbers")
    return array.astype(own if dtype is None else dtype, copy=False)


def integers(name: str, value: ArrayLike, *, ndim: int | None, low: int = 0) -> IntArray:
    """`value` as a fresh int64 array of `ndim` dimensions, or any, of at least `low` each."""
    form = "" if ndim is None else f"{ndim}-dimensional, of "
    allowed = f"must be {form}whole numbers, each {low} or more"
    array = _array(name, value, allowed)
    integer(f"numbers in {name}", array.size, 0, MOST_NUMBERS)  # a view may hold more than memory
    whole = array.dtype.kind in "iu" or array.size == 0
    if ndim not in (None, array.ndim) or not whole or (array.size and int(array.min()) < low):
        raise wrong(name, value, allowed)
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise wrong(name, value, allowed + ", that fit into 64 bits")
    return array.astype(np.int64)


def per_client(name: str, value: ArrayLike, num_clients: int) -> FloatArray:
    """`value`, one number for each client or one for all, as a fresh (K,) float64 array."""
    allowed = f"must be one finite number, 0 or more, for each of {num_clients} clients or for all"
    array = _array(name, value, allowed)
    numbers = array.dtype.kind in "iuf" and array.shape in ((), (num_clients,))
    if not numbers or not np.isfinite(array).all() or (array < 0).any():
        raise wrong(name, value, allowed)
    return np.full(num_clients, array, np.float64)


def client_sizes(name: str, value: ArrayLike) -> IntArray:
    """`value` as the sample counts n_k, (K,) int64, of at least one client and one sample."""
    sizes = integers(name, value, ndim=1)
    if sizes.sum(dtype=np.float64) > MOST_SAMPLES:
        raise wrong(name, value, f"must sum to at most {MOST_SAMPLES}")
    if not sizes.any():
        raise wrong(name, value, "must name at least one client with a sample")
    return sizes


def class_counts(name: str, value: ArrayLike) -> IntArray:
    """`value` as the counts n_km, (K, M) int64, of at least one sample in all."""
    counts = integers(name, value, ndim=2)
    if counts.sum(dtype=np.float64) > MOST_SAMPLES:  # before int64 overflows
        raise wrong(name, value, f"must sum to at most {MOST_SAMPLES}")
    client_sizes(f"{name} summed over classes", counts.sum(axis=1))
    return counts


def demand(name: str, asked: NDArray[Any], held: IntArray) -> None:
    """Refuse what is asked, (K, G) as in `Schedule.demands`, if clients hold less, (K, M)."""
    (num_clients, groups), (wanted, num_classes) = asked.shape, held.shape
    if num_clients != wanted or not 1 <= groups <= num_classes or not asked.any():
        allowed = f"must be one number for each of {wanted} clients"
        raise wrong(name, asked, f"{allowed}, or for each of their classes, not all 0")
    have = np.add.reduceat(held, range(groups), axis=1)  # the last group: all further classes
    if (asked > have).any():
        k, g = np.argwhere(asked > have)[0].tolist()
        place = [k, g] if groups > 1 else [k]
        allowed = f"must be at most {have[k, g]}, what client {k} has left"
        raise wrong(f"{name}{place}", int(asked[k, g]), allowed)
