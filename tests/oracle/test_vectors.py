"""Every expected value has a second witness; the files are what the generator writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.oracle import growth, vectors
from pslref.oracle.backends import Values
from pslref.oracle.checks import bounds_of
from pslref.oracle.compare import arrays
from pslref.oracle.generate import generate
from pslref.oracle.library import Library
from pslref.oracle.ops import GROUPS, OPS
from pslref.oracle.vectors import Case
from tests.backends.plain import Plain

CASES = vectors.shipped()
BY_ID = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
RIGHT = ["plain", "plain32", "library32", "pytorch32", "pytorch64"]


def make(name: str) -> object:
    if name.startswith("pytorch"):
        pytest.importorskip("torch")
        from tests.backends.pytorch import PyTorch

        return PyTorch(f"float{name[-2:]}")
    return {
        "plain": Plain(),
        "plain32": Plain(dtype="float32"),
        "library32": Library("float32"),
    }[name]


def share_of_bound(case: Case, got: Values, dtype: str) -> float:
    """The largest error, in parts of what it may be; the reason why the bounds are no luck."""
    shares = [0.0]
    for _, right, came, bound in arrays(case.expected, got, bounds_of(case, dtype)):
        off = np.abs(np.asarray(came, np.float64) - right)
        shares.append(float(np.max(off / np.where(off > 0, bound, 1), initial=0)))
    return max(shares)


@pytest.mark.parametrize("name", RIGHT)
def test_right_implementations_stay_far_below_every_bound(name: str) -> None:
    """Two other programs, in both precisions; a third of the bound is the most that is seen."""
    backend = make(name)
    asked = [c for c in CASES if c.result == "valid" and c.op in backend.capabilities()]
    assert len(asked) > 50
    for case in asked:
        assert share_of_bound(case, backend.run(case.op, case.inputs), backend.spec.dtype) < 1 / 3


@BY_ID
def test_an_invalid_case_is_refused_by_both_witnesses(case: Case) -> None:
    if case.result == "invalid":
        for backend in (Plain(), Library()):
            with pytest.raises(ValueError, match=r"."):
                backend.run(case.op, case.inputs)


@BY_ID
def test_a_case_is_written_down_in_full(case: Case) -> None:
    op = OPS[case.op]
    assert case.inputs.keys() == op.inputs.keys()
    assert case.expected.keys() == (op.outputs.keys() if case.result != "invalid" else set())
    assert list(case.expected) == [name for name in op.outputs if name in case.expected]
    for value in case.inputs.values():
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            assert np.array_equal(value, value.astype(np.float32)), "not exact in float32"


def test_ids_are_unique_and_every_operation_has_a_case() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert {case.op for case in CASES} == {name for name, op in OPS.items() if op.group in GROUPS}


@pytest.mark.parametrize("case", [c for c in CASES if c.limits], ids=lambda case: case.id)
def test_steps_stay_away_from_kinks(case: Case) -> None:
    assert growth.margin(case.inputs) > growth.LEAST_MARGIN
    largest = max(case.limits.values()) * 2.0**-24
    assert largest < growth.LEAST_MARGIN


def test_the_generator_writes_the_files_and_the_same_bytes_again(tmp_path: Path) -> None:
    """Numbers may differ by rounding from machine to machine; on one machine nothing does."""
    first, second = generate(tmp_path / "first"), generate(tmp_path / "second")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    made = [case for group in GROUPS for case in vectors.read(_text(tmp_path / "first", group))]
    assert [case.id for case in made] == [case.id for case in CASES]
    for new, old in zip(made, CASES, strict=True):
        assert json.dumps(vectors.encode(new.inputs)) == json.dumps(vectors.encode(old.inputs))
        for _, right, came, _ in arrays(old.expected, new.expected, old.expected):
            assert np.allclose(right, came, rtol=1e-11, atol=1e-13)
        assert new.limits == pytest.approx(old.limits, rel=0.5)


def test_the_files_fit_their_schema_and_two_megabytes(tmp_path: Path) -> None:
    written = vectors.export(tmp_path)
    rules = json.loads(_text(tmp_path, "schema"))
    assert rules == vectors.schema()
    assert sum(path.stat().st_size for path in written) < 2_000_000
    for group in GROUPS:
        content = json.loads(_text(tmp_path, group))
        jsonschema.validate(content, rules)
        used = {flag for case in content["cases"] for flag in case["flags"]}
        assert used == content["notes"].keys()


@pytest.mark.parametrize(
    "where", [[], ["cases", 0], ["cases", 0, "inputs"], ["cases", 0, "expected"]]
)
def test_the_schema_allows_nothing_else(where: list) -> None:
    content = json.loads(_text(vectors.folder(), "layers"))
    place = content
    for step in where:
        place = place[step]
    place["extra"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, vectors.schema())


def test_another_version_of_the_format_is_refused() -> None:
    text = _text(vectors.folder(), "laws").replace('"spec_version":1', '"spec_version":2')
    with pytest.raises(ValueError, match="spec_version = 2: must be 1"):
        vectors.read(text)


def _text(folder: Path, name: str) -> str:
    return (folder / f"{name}.json").read_text(encoding="utf-8")


LAWS = json.loads(_text(vectors.folder(), "laws"))


def places(value: object, place: tuple = ()) -> Iterator[tuple]:
    yield place
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(min(2, len(value))):
            yield from places(value[step], (*place, step))


def put(value: object, place: tuple, new: object) -> object:
    """A copy of `value` with something else in that place."""
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = put(value[place[0]], place[1:], new)
    return copy


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.just(10**400),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("dtype"), inner),
    max_leaves=3,
)
texts = st.text(max_size=50) | st.builds(
    lambda place, new: json.dumps(put(LAWS, place, new)),
    st.sampled_from(list(places(LAWS))),
    anything,
)


@given(texts)
def test_any_text_is_cases_or_one_sentence(text: str) -> None:
    try:
        assert isinstance(vectors.read(text), list)
        sentence = ""
    except ValueError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert len(sentence) < 600
