"""Names that docs/method.md gives for the symbols are names in the code."""

import re
from pathlib import Path

import pytest

import pslref

ROOT = Path(__file__).parent.parent
CODE = "\n".join(path.read_text("utf-8") for path in Path(pslref.__file__).parent.rglob("*.py"))
TEXT = (ROOT / "docs" / "method.md").read_text("utf-8")
NOTATION = re.search(r"## Notation\n(.*?)\n## 1", TEXT, re.DOTALL)[1]
SYMBOLS = (
    "K M T n_k N n_km N_m r_k β_km p_m B b_tk B_t c_tm Δ_t g_k P_t A L w_c d_k s_k l_k u_k v_k "
    "f_k F π_k α_k Z c z_k δ S S_m γ_mk ε z_j r_j x_jkm"
)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-zA-Z_.]+)", NOTATION))))
def test_a_name_in_the_table_of_symbols_is_one_in_the_code(name: str) -> None:
    assert all(re.search(rf"\b{part}\b", CODE) for part in name.split("."))


def test_every_symbol_is_in_the_table() -> None:
    symbols = " ".join(row.split("|")[1] for row in NOTATION.splitlines() if "|" in row)
    assert set(SYMBOLS.split()) <= set(re.split(r"[ ,;=/Σ]+", symbols))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(?:sampling|theory)\.(\w+)`", TEXT))))
def test_a_function_of_the_samplers_or_laws_is_public(name: str) -> None:
    assert hasattr(pslref.sampling, name) or hasattr(pslref.theory, name)


def test_what_is_displayed_is_mathematics_where_it_is_rendered() -> None:
    """Indented lines are commands, and nothing with a sign of mathematics."""
    text = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    assert not re.findall(r"^ {4}.*[=≤≥Σ].*$", text, re.MULTILINE)
