"""Every expected value has a second witness; the files are what the generator writes."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.oracle import bounds, growth, vectors
from pslref.oracle.backends import Asked
from pslref.oracle.checks import ask_vector, bounds_of
from pslref.oracle.codec import encode
from pslref.oracle.compare import field, flatten
from pslref.oracle.library import OPS, Library
from pslref.oracle.networks import make_network
from pslref.oracle.operation import GROUPS, ROUNDOFF, Values
from pslref.oracle.vectors import Case
from tests.backends.plain import Plain
from tools.vectors import generate

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
    shares, limits = [0.0], bounds_of(case, dtype)
    for name, came in flatten(got).items():
        off = np.abs(came.astype(np.float64) - case.expected[name])
        shares.append(float(np.max(off / np.where(off > 0, limits[name], 1), initial=0)))
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
    assert bool(case.others) == (case.result == "acceptable")
    shown = dict.fromkeys(name.split(".")[0] for name in case.expected)
    assert list(shown) == ([] if case.result == "invalid" else list(op.outputs))
    for value in flatten(case.inputs).values():
        if value.dtype == np.float64:
            assert np.array_equal(value, value.astype(np.float32)), "not exact in float32"


def test_ids_are_unique_and_every_operation_has_a_case() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert {case.op for case in CASES} == {name for name, op in OPS.items() if op.group in GROUPS}


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.op == "split_steps" and c.limits], ids=lambda case: case.id
)
def test_steps_stay_away_from_kinks_and_ties(case: Case) -> None:
    assert growth.margin(case.inputs) > growth.least_margin(case.limits)


@pytest.mark.parametrize("op", ["relu", "max_pool2d"])
def test_only_an_acceptable_case_of_a_layer_has_a_kink_or_a_tie(op: str) -> None:
    for case in CASES:
        if case.op == op:
            settings = {name: case.inputs[name] for name in case.inputs if name not in ("x", "dy")}
            net = make_network([{"type": op, **settings}], {}, np.float64)
            near = growth.least_lead(net, case.inputs["x"])
            assert near >= 2**-6 if case.result == "valid" else near == 0


@pytest.mark.parametrize("case_id", ["trace-epochs", "trace-epochs-all"])
def test_two_traces_are_long_enough_for_what_no_short_one_shows(case_id: str) -> None:
    (case,) = (case for case in CASES if case.id == case_id)
    assert bool(case.inputs["momentum"]) == case_id.endswith("all")
    sizes, epochs = case.inputs["batch_sizes"], case.inputs["epochs"]
    assert sizes.shape == (12, 12)
    assert np.unique(epochs, return_counts=True)[1].tolist() == [4, 4, 4]
    assert sizes.sum(axis=1).max() == 40
    assert epochs[(sizes > 0).argmax(axis=0)].max() == 2, "nobody comes late"
    assert (sizes == 0).any(axis=0).all()
    parts = {name: g for name, g in case.expected.items() if "summed_gradients" in name}
    norms = [
        np.sqrt(sum((g**2).sum() for name, g in parts.items() if name.startswith(f"steps.{t}.")))
        for t in range(12)
    ]
    assert 40 < max(norms) < 60
    assert sum(norm > 1 for norm in norms) == 1
    assert min(norms) < max(norms) / 250


class Answering(Plain):
    """The plain backend, but what it answers is another's, or an error."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def run(self, op: str, inputs: Values) -> Values:
        if isinstance(self.answer, Exception):
            raise self.answer
        return super().run(op, inputs) | self.answer


@pytest.mark.parametrize("case", [c for c in CASES if c.others], ids=lambda case: case.id)
def test_only_the_listed_conventions_are_acceptable(case: Case) -> None:
    for other in case.others:
        (result,) = ask_vector(case, Asked(Answering(other)))
        assert (result.verdict, result.check) == ("noted", case.id)
    nan = np.full_like(case.expected["dx"], np.nan)
    for answer in ({"dx": nan}, {"dx": 2 * case.others[0]["dx"]}, ZeroDivisionError(), {"z": 1.0}):
        (result,) = ask_vector(case, Asked(Answering(answer)))
        assert result.verdict == "wrong"


def test_a_bound_of_a_law_is_not_far_above_what_float32_reaches() -> None:
    """It was 2.4e-4, which hides an error that counts."""
    for case in CASES:
        if "expected_deviation" in case.expected:
            assert np.max(bounds_of(case, "float32")["expected_deviation"]) < 1e-5


def test_the_bound_of_em_is_no_smaller_than_what_an_error_of_one_update_becomes(rng) -> None:
    """To first order: the start moves by a relative error, and the weights by their derivative."""
    for case in (case for case in CASES if case.op == "lds_em"):
        u, start = 2.0**-40, case.inputs["start"]
        limit = bounds.em(Library().run, case.inputs, u)["mixing_weights"]
        for _ in range(20):
            moved = start * (1 + u * rng.choice([-1, 1], start.size))
            out = Library().run("lds_em", {**case.inputs, "start": moved})["mixing_weights"]
            assert (np.abs(out - case.expected["mixing_weights"]) < limit).all()


def test_the_generator_writes_the_files(tmp_path: Path) -> None:
    """Numbers may differ by rounding from machine to machine."""
    generate(tmp_path)
    made = [case for group in GROUPS for case in vectors.read(_text(tmp_path, group))]
    assert [case.id for case in made] == [case.id for case in CASES]
    for new, old in zip(made, CASES, strict=True):
        assert json.dumps(encode(new.inputs)) == json.dumps(encode(old.inputs))
        assert new.expected.keys() == old.expected.keys()
        for name, right in old.expected.items():
            assert np.allclose(right, new.expected[name], rtol=1e-11, atol=1e-13)
        assert new.limits == pytest.approx(old.limits, rel=0.5)


def test_a_release_fits_its_schema_and_its_manifest_and_two_megabytes(tmp_path: Path) -> None:
    written = vectors.export(tmp_path)
    assert [path.name for path in written] == vectors.NAMES
    assert sum(path.stat().st_size for path in written) < 2_000_000
    rules = json.loads(_text(tmp_path, "schema"))
    jsonschema.Draft202012Validator.check_schema(rules)
    for group in GROUPS:
        content = json.loads(_text(tmp_path, group))
        jsonschema.Draft202012Validator(rules).validate(content)
        used = {flag for case in content["cases"] for flag in case["flags"]}
        assert used == content["notes"].keys()
    manifest = json.loads(_text(tmp_path, "manifest"))
    assert manifest["spec_version"] == vectors.SPEC_VERSION
    assert [*manifest["changes"]] == [str(n) for n in range(1, vectors.SPEC_VERSION + 1)]
    digests = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in written[:-1]}
    assert manifest["sha256"] == digests


def wrong_by_the_page(backend: Plain) -> list[str]:
    """Cases that are wrong by vectors/README.md alone, as somebody without Python would judge."""
    u, wrong = ROUNDOFF[backend.spec.dtype], []

    def near(case: Case, expected: Values, got: Values) -> bool:
        return all(
            got[name].shape == e.shape
            and np.all(np.abs(got[name] - e) <= case.limits.get(field(name), 0) * u)
            for name, e in expected.items()
        )

    for case in CASES:
        try:
            got = flatten(backend.run(case.op, case.inputs))
        except ValueError:
            right = case.result == "invalid"
        else:
            answers = [case.expected, *({**case.expected, **other} for other in case.others)]
            right = case.result != "invalid" and any(near(case, e, got) for e in answers)
        wrong += [] if right else [case.id]
    return wrong


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_rule_of_the_page_passes_a_right_program_and_sees_mistakes(dtype: str) -> None:
    assert wrong_by_the_page(Plain(dtype=dtype)) == []
    for fault in ("eps-default", "momentum-lost", "averaged", "sample-std", "round-half-up"):
        assert wrong_by_the_page(Plain(fault, dtype=dtype)) != []


@pytest.mark.parametrize(
    "where", [[], ["cases", 0], ["cases", 0, "inputs"], ["cases", 0, "expected"]]
)
def test_the_schema_allows_nothing_else(where: list) -> None:
    content = json.loads(_text(vectors.folder(), "layers"))
    place = content
    for step in where:
        place = place[step]
    place["extra"] = 1
    assert not jsonschema.Draft202012Validator(vectors.schema()).is_valid(content)


def test_another_version_of_the_format_is_refused() -> None:
    text = _text(vectors.folder(), "laws").replace('"spec_version":2', '"spec_version":1')
    with pytest.raises(ValueError, match="spec_version = 1: must be 2"):
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
