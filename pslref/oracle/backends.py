"""Backend: what an implementation must offer to be checked; and how the oracle asks it."""

import os
import sysconfig
import traceback
from collections.abc import Collection
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from pslref import check
from pslref.oracle.compare import flatten
from pslref.oracle.operation import ROUNDOFF, Values

LONGEST = 1000  # letters of a text that a backend wrote
NOT_ITS_OWN = (
    *("<frozen ", f"{Path(__file__).parents[1]}{os.sep}"),
    *(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")),
)


class Spec(NamedTuple):
    """Who answers, and the precision of its network: "float32" or "float64"."""

    name: str
    dtype: str = "float64"


class Unsupported(Exception):
    """An implementation cannot do this case of an operation; it says why."""


class Refused(ValueError):
    """An implementation raised an error, as it must for inputs that are invalid."""


class Broken(ValueError):
    """An implementation gave no answer: it died or wrote something that is none."""


class Hung(Broken):
    """It did not answer in time."""


class Backend(Protocol):
    """An implementation of parallel split learning, or of a part of it."""

    spec: Spec

    def capabilities(self) -> Collection[str]:
        """The names of the operations it has, of `pslref.oracle.library.OPS`."""

    def run(self, op: str, inputs: Values) -> Values:
        """The outputs of an operation, by name; arrays are NumPy's.

        Raises:
            Unsupported: if this case is beyond the implementation.
            Exception: any other, for inputs that are invalid.
        """


class Asked:
    """A backend as the oracle asks it: it gets copies, and its answers are flat real numbers.

    Whatever it raises becomes an error of this module, but for a KeyboardInterrupt, which may be
    the user's; the floating-point errors that it sets to be raised are reset. `outputs` is the
    last answer, or None if it gave none.

    Raises:
        ValueError: for another precision, or no spec.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        try:
            name, dtype = backend.spec
        except Exception as error:
            allowed = f"must have a spec, Spec(name, dtype), but {described(error)}"
            raise check.wrong("backend", type(backend).__name__, allowed) from None
        self.spec = Spec(plain(name), check.one_of("spec.dtype", dtype, ROUNDOFF))
        self.outputs: Values | None = None

    def capabilities(self) -> Collection[str]:
        """What the backend says it has.

        Raises:
            ValueError: if it says nothing of the kind.
        """
        try:
            return [str(name) for name in self.backend.capabilities()]
        except Exception as error:
            allowed = f"must be names of operations, but {described(error)}"
            raise check.wrong("capabilities", type(self.backend).__name__, allowed) from None

    def run(self, op: str, inputs: Values) -> Values:
        """The flat outputs.

        Raises:
            Unsupported, Refused, Broken: if there are none.
        """
        self.outputs = None
        with np.errstate():
            try:
                outputs = self.backend.run(op, deepcopy(inputs))
            except (Unsupported, Refused, Broken, KeyboardInterrupt):
                raise
            except BaseException as error:
                raise Refused(described(error)) from None
        if not isinstance(outputs, dict):
            raise Broken("the outputs must be arrays by name")
        try:
            flat = flatten(outputs)
        except Exception as error:  # rows of different lengths, or an array of its own kind
            raise Broken(f"the outputs are no arrays: {described(error)}") from None
        for name, array in flat.items():
            if array.dtype.kind not in "iuf":
                raise Broken(f"{name}: holds {array.dtype}, not numbers")
        self.outputs = flat
        return flat


def described(error: BaseException) -> str:
    """An error of an implementation, and where in its own code it came up."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(NOT_ITS_OWN)]
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    try:
        said = str(error)
    except BaseException:  # it cannot even say what it is
        said = "?"
    return f"{plain(f'{type(error).__name__}: {said}')}{place}"


def plain(text: Any) -> str:
    """A text of a backend, cut, with its control characters spelt out: it could fake a verdict."""
    shown = str(text)[: LONGEST + 1]
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
