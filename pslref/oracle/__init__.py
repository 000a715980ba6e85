"""Is another implementation right, and if not, what is wrong with it? (docs/oracle.md)"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pslref.oracle.backends import Backend, CommandBackend, Spec, Unsupported
    from pslref.oracle.distribution import judge
    from pslref.oracle.examination import examine
    from pslref.oracle.report import Report, Result

_HOMES = {
    "Backend": "backends",
    "CommandBackend": "backends",
    "Spec": "backends",
    "Unsupported": "backends",
    "examine": "examination",
    "judge": "distribution",
    "Report": "report",
    "Result": "report",
}
__all__ = [
    "Backend",
    "CommandBackend",
    "Report",
    "Result",
    "Spec",
    "Unsupported",
    "examine",
    "judge",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that the command line answers at once."""
    if name in _HOMES:
        return getattr(import_module(f"pslref.oracle.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'pslref.oracle' has no attribute {name!r}")
