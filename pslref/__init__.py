"""pslref: parallel split learning with global sampling, the NumPy reference.

The rooms (`pslref.data`, `pslref.sampling`, ...) are imported when they are first used, so
that the command line answers at once.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pslref import app, data, nn, oracle, partition, sampling, split, theory

__all__ = ["app", "data", "nn", "oracle", "partition", "sampling", "split", "theory"]
__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"pslref.{name}")
    raise AttributeError(f"module 'pslref' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
