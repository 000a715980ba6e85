"""Is another implementation right, and if not, what is wrong with it? (docs/oracle.md)"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pslref.oracle.backends import Backend as Backend
    from pslref.oracle.backends import Spec as Spec
    from pslref.oracle.backends import Unsupported as Unsupported
    from pslref.oracle.command import CommandBackend as CommandBackend
    from pslref.oracle.distribution import judge as judge
    from pslref.oracle.examination import examine as examine
    from pslref.oracle.report import Report as Report
    from pslref.oracle.result import Result as Result

_HOMES = {
    **dict.fromkeys(("Backend", "Spec", "Unsupported"), "backends"),
    **{"CommandBackend": "command", "examine": "examination", "judge": "distribution"},
    **{"Report": "report", "Result": "result"},
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Import on first use, so that the command line answers at once."""
    if name in _HOMES:
        return getattr(import_module(f"pslref.oracle.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'pslref.oracle' has no attribute {name!r}")
