"""What docs/oracle.md says is so."""

from pathlib import Path

import numpy as np

from pslref.oracle import examine
from pslref.oracle.library import OPS
from pslref.oracle.protocols import PROTOCOLS

TEXT = (Path(__file__).parents[2] / "docs" / "oracle.md").read_text(encoding="utf-8")


def test_the_table_of_operations_is_complete() -> None:
    rows = [
        f"| `{n}` | {', '.join(op.inputs)} | {', '.join(op.outputs)} |" for n, op in OPS.items()
    ]
    assert "\n".join(rows) in TEXT
    said = " ".join(TEXT.split())
    for name, op in OPS.items():
        assert not op.words or f"* `{name}`: {op.words}" in said


def test_the_table_of_protocols_is_complete() -> None:
    rows = [f"| `{n}` | {p.title} | {p.source} | {p.words} |" for n, p in PROTOCOLS.items()]
    assert "\n".join(rows) in TEXT


def test_the_first_example_gives_the_printed_verdict(rng: np.random.Generator) -> None:
    code = TEXT.split("```python\n")[1].split("```")[0]
    told = " ".join(TEXT.split("It prints what ran, and then")[1].split("Divide")[0].split())
    for given, verdict in [
        (code, told),
        (code.replace('"dlogits": gradient', '"dlogits": gradient / len(y)'), "RIGHT"),
    ]:
        names: dict = {}
        exec(given, names)
        assert verdict in " ".join(" ".join(examine(names["Mine"](), rng).lines()).split())
