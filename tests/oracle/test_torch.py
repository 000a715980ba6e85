"""From two modules and a function that trains them to a verdict, by docs/oracle.md alone."""

from pathlib import Path

import numpy as np
import pytest

from pslref.oracle import examine

torch = pytest.importorskip("torch")
TEXT = (Path(__file__).parents[2] / "docs" / "oracle.md").read_text(encoding="utf-8")
CODE = TEXT.split("## Straight from PyTorch")[1].split("```python\n")[1].split("```")[0]


def report_of(rng: np.random.Generator, *changes: tuple[str, str]):
    code, names = CODE, {}
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    exec(code, names)
    return examine(names["mine"](), rng)


def test_the_example_is_right(rng: np.random.Generator) -> None:
    for dtype in ("float32", "float64"):
        report = report_of(rng, ("Modules(training)", f"Modules(training, {dtype!r})"))
        assert report.exit_code == 0, report.lines()
        beyond = [one.check for one in report.results if one.verdict == "unsupported"]
        assert beyond == ["step-no-client-weights", "trace-no-client-weights"]
        assert report.hidden == [
            "client_gradients", "cut_gradient", "smashed", "summed_gradients"
        ]  # fmt: skip


SHOWN = ("return loss", 'return {"loss": loss, "smashed": smashed, "cut_gradient": smashed.grad}')
ZERO = "for optimizer in optimizers:\n            optimizer.zero_grad()"
MADE = CODE.splitlines()[6].strip()
APART = "torch.cat([server(a) for a in smashed.split([len(y) for x, y in batches.values()])])"
FRESH = (ZERO, f"{MADE}\n        {ZERO}")


def test_what_a_step_shows_comes_in_the_layout_of_the_oracle(rng: np.random.Generator) -> None:
    report = report_of(rng, SHOWN)
    assert report.exit_code == 0, report.lines()
    assert report.hidden == ["client_gradients", "summed_gradients"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ([("total.clone()", "total / len(batches)")], "averaged over the participants"),
        ([FRESH], "optimizers are new in every step"),
        ([("server(smashed)", APART)], "batch norms take statistics of each"),
        ([("return step\n", "server.eval()\n    return step\n")], "training takes the running"),
        ([(".split([", ".flip(0).split(["), SHOWN], None),
        ([("Modules(training)", "Modules(training, shared=True)")], None),
    ],
)
def test_a_mistake_is_caught(
    changes: list[tuple[str, str]], name: str | None, rng: np.random.Generator
) -> None:
    """In the last, one module would be updated by K optimizers."""
    report = report_of(rng, *changes)
    assert report.exit_code == 1
    assert name is None or any(name in one for one in report.diagnoses), report.lines()
