"""Whatever a backend does, the check says so and goes on."""

import json
import os
import select
import shlex
import shutil
import sys
from collections.abc import Collection
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pslref.oracle import CommandBackend, Spec, Unsupported, examine, serve
from pslref.oracle.backends import Broken, Hung, Refused
from pslref.oracle.codec import decode, encode
from pslref.oracle.command import decoded
from pslref.oracle.compare import divergence
from pslref.oracle.library import Library
from pslref.oracle.vectors import shipped
from tests.backends.plain import Plain

ROOT = Path(__file__).parents[2]
BROKEN = [sys.executable, str(ROOT / "tests" / "backends" / "broken.py")]
VECTORS = {"tiers": ["vectors"]}


@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int64]),
        hnp.array_shapes(min_dims=1, min_side=0),
    )
)
def test_an_array_survives_json_bit_for_bit(array: np.ndarray) -> None:
    again = decode(json.loads(json.dumps(encode({"a": [array, 1.5, "b"]}))))["a"]
    assert again[1:] == [1.5, "b"]
    assert (again[0].dtype, again[0].shape) == (array.dtype, array.shape)
    assert np.array_equal(again[0], array, equal_nan=array.dtype.kind == "f")


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"dtype": "int32", "shape": [1], "data": [1]}, "dtype is 'int32'"),
        ({"dtype": "int64", "shape": [2], "data": [1]}, "do not fill its shape"),
        ({"dtype": "int64", "shape": [-1], "data": []}, "whole numbers"),
        ({"dtype": "float64", "shape": [1], "data": ["1"]}, "no number"),
        ({"dtype": "float64", "shape": 1, "data": [1]}, "whole numbers"),
        ({"dtype": "int64", "shape": [10**4000] * 10**5, "data": []}, "has 100000 axes: must"),
        ({"dtype": "int64", "shape": [0, 10**30], "data": []}, "dimension"),
        ({"dtype": "x" * 10**6, "shape": [], "data": []}, r"dtype is 'x{12}\.\.\."),
    ],
)
def test_an_array_that_is_none_is_refused(broken: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        decode(broken)


def test_a_null_is_nan_and_a_fraction_among_integers_stays_one() -> None:
    assert np.isnan(decode({"dtype": "float64", "shape": [1], "data": [None]})[0])
    assert decode({"dtype": "int64", "shape": [1], "data": [1.5]})[0] == 1.5


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("dies", "died with exit code 1; on stderr: out of memory"),
        ("rubbish", "which is no answer"),
        ("wrong-id", "answered id"),
        ("nan", "y: [0, 3] is nan: not finite"),
        ("short", "do not fill its shape"),
        ("misspelt", "y: is missing"),
        ("no-outputs", "must have outputs"),
    ],
)
def test_a_program_that_breaks_is_reported_as_that(
    way: str, sentence: str, rng: np.random.Generator
) -> None:
    backend = CommandBackend([*BROKEN, way])
    report = examine(backend, rng, **VECTORS)
    backend.close()
    verdict = "wrong" if way in ("nan", "misspelt") else "broken"
    assert [one.verdict for one in report.results if one.op == "relu"] == [verdict] * 3
    assert sentence in report.first_wrong.detail
    assert report.exit_code == 1


def test_a_program_that_died_is_started_and_greeted_again() -> None:
    backend = CommandBackend([*BROKEN, "dies"])
    for _ in range(2):
        with pytest.raises(Broken, match="out of memory"):
            backend.run("relu", {})


def test_a_program_that_closes_its_stdout_and_lives_on_is_not_waited_for() -> None:
    backend = CommandBackend([*BROKEN, "closes"])
    with pytest.raises(Broken, match=r"^closed its stdout$"):
        backend.run("relu", {})


def test_of_what_a_program_writes_to_stderr_only_the_end_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "there is no disk"))
    backend = CommandBackend([*BROKEN, "talks"])
    with pytest.raises(Broken, match=r"nothing new \| out of words$") as caught:
        backend.run("relu", {})
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "wrapper",
    ["{}; true", "trap '' TERM; {}; true", "{} <&3 &", "({} <&3 &); sleep 60"],
    ids=["shell", "deaf to SIGTERM", "gone", "forked twice"],
)
def test_a_program_that_hangs_is_ended_with_its_wrapper(wrapper: str, tmp_path: Path) -> None:
    """A fifo is at its end when every process that has inherited it is gone."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    left = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    program = wrapper.format(shlex.join([*BROKEN, "hangs"]))
    backend = CommandBackend(["sh", "-c", f"exec 3<&0 4>{fifo}; {program}"])
    assert select.select([left], [], [], 0)[0] == []
    backend.time_limit = 0.3
    with pytest.raises(Hung, match=r"^did not answer within 0\.3 s"):
        backend.run("relu", {})
    assert select.select([left], [], [], 20)[0] == [left]
    os.close(left)


def test_without_posix_the_tree_of_processes_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on Windows; a program of the test's stands in for its taskkill."""
    taskkill = tmp_path / "taskkill"
    taskkill.write_text('#!/bin/sh\n[ "$1 $2 $3" = "/F /T /PID" ] && kill -9 "$4"\n')
    taskkill.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delattr(os, "killpg")
    backend = CommandBackend([*BROKEN, "hangs"])
    process = backend.process
    backend.time_limit = 0.3
    with pytest.raises(Hung):  # one that waits for a request would end when its stdin does
        backend.run("relu", {})
    assert process is not None
    assert process.returncode == -9


def test_a_time_limit_is_for_hello_too_and_the_sentence_thinks_of_a_flush() -> None:
    sentence = r"must answer hello, but did not answer within 0\.2 s: is each answer a line, and fl"
    with pytest.raises(Broken, match=sentence):
        CommandBackend(["sleep", "60"], time_limit=0.2)


def test_ctrl_c_during_hello_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Interrupted(CommandBackend):
        def _ask(self, *arguments: Any) -> Any:
            started.append(self.process)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted([*BROKEN, "hangs"])
    assert started[0].returncode == -9


def test_a_program_that_hangs_costs_one_time_limit_for_an_operation(
    rng: np.random.Generator,
) -> None:
    backend = CommandBackend([*BROKEN, "hangs"], time_limit=0.3)
    report = examine(backend, rng, **VECTORS)
    backend.close()
    assert [one.detail for one in report.results if one.op == "relu"] == [
        "hung: did not answer within 0.3 s: is each answer a line, and flushed?"
    ]
    assert report.errors == ["relu: hung in relu-basic, so its other cases were not asked"]
    assert report.exit_code == 1


def test_a_group_that_ran_no_case_is_an_error(rng: np.random.Generator) -> None:
    backend = CommandBackend([*BROKEN, "unsupported"])
    report = examine(backend, rng, **VECTORS)
    backend.close()
    assert report.exit_code == 2
    assert report.errors[0] == "relu: 0 of 3 vectors ran: at least a third must"
    assert "nothing ran" in report.errors[1]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ([*BROKEN, "no-dtype"], "must have capabilities"),
        (["a-program-that-is-not-there"], "could not be started"),
        ([sys.executable, "-c", "raise SystemExit('no licence')"], "died with .* no licence"),
        ([sys.executable, "-c", "1 / 0"], r'File "<string>", line 1, in <module> \|.* ZeroDivis'),
    ],
)
def test_a_program_that_does_not_introduce_itself(command: list[str], sentence: str) -> None:
    with pytest.raises(Broken, match=sentence):
        CommandBackend(command)


def test_a_python_backend_behind_the_pipe_gives_the_same_answers() -> None:
    name = "pslref.oracle.library:Library"
    backend = CommandBackend([sys.executable, "-m", "pslref.oracle.serve", name])
    assert backend.spec == Library().spec
    assert set(backend.capabilities()) == set(Library().capabilities())
    inputs = {"sizes": np.array([4, 9]), "batch_size": 5}
    expected = Library().run("fls", inputs)["batch_sizes"]
    assert np.array_equal(backend.run("fls", inputs)["batch_sizes"], expected)
    with pytest.raises(ValueError, match="batch_size = 50"):
        backend.run("fls", {**inputs, "batch_size": 50})
    backend.close()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_javascript_example_is_right(rng: np.random.Generator, alpha: float) -> None:
    """All that the playground shows; it may be accused with probability alpha."""
    backend = CommandBackend(["node", str(ROOT / "docs" / "examples" / "backend.js")])
    report = examine(backend, rng, alpha=alpha)
    backend.close()
    assert report.exit_code == 0
    ran = {one.op for one in report.results if one.verdict == "ok"}
    of_images = {"conv2d", "max_pool2d", "avg_pool2d", "group_norm", "batch_norm2d"}
    assert ran == set(Library().capabilities()) - of_images
    assert report.hidden == ["client_gradients"]


class Without:
    """The plain backend but for what `change` does to its answers."""

    def __init__(self, change: Any, *faults: str) -> None:
        self.plain, self.change = Plain(*faults), change
        self.spec = Spec("changed")

    def capabilities(self) -> Collection[str]:
        return ["sgd", "relu"]

    def run(self, op: str, inputs: dict[str, Any]) -> Any:
        return self.change(op, self.plain.run(op, inputs))


def verdicts_of(report: Any, op: str) -> set[str]:
    return {one.verdict for one in report.results if one.op == op}


def test_expected_failures_are_strict(rng: np.random.Generator) -> None:
    wrong = Without(lambda op, out: out, "momentum-lost")
    report = examine(wrong, rng, **VECTORS, expected_failures={"sgd": "not built yet"})
    assert report.exit_code == 0
    said = "noted: sgd-momentum: expected failure: not built yet (weights: "
    assert said in "\n".join(report.lines())
    report = examine(wrong, rng, **VECTORS, expected_failures={"sgd-momentum": "later"})
    assert report.first_wrong.check == "sgd-both"
    for name in ("relu-basic", "relu"):
        report = examine(wrong, rng, **VECTORS, expected_failures={name: "why", "sgd": "known"})
        assert "was expected to" in report.first_wrong.detail
    with pytest.raises(ValueError, match=r"expected_failures = \['nothing-like-it'\]: must be"):
        examine(wrong, rng, **VECTORS, expected_failures={"nothing-like-it": "?"})


def test_what_a_backend_may_answer(rng: np.random.Generator) -> None:
    def raises(op: str, out: Any) -> Any:
        raise Unsupported("never") if op == "relu" else KeyError("w")

    report = examine(Without(raises), rng, **VECTORS)
    assert verdicts_of(report, "relu") == {"unsupported"}
    place = f"({__file__}, line {raises.__code__.co_firstlineno + 1})"
    assert report.first_wrong.detail == f"raised KeyError: 'w' {place}"
    for answer, sentence in [
        (lambda out: {**out, "more": 1}, "'more' is no output"),
        (lambda out: None, "must be arrays by name"),
        (lambda out: {"y": "a", "dx": "b", "weights": "c"}, "holds <U1, not numbers"),
        (lambda out: {"y": [[1], [1, 2]]}, "the outputs are no arrays: ValueError"),
        (lambda out: {n: a * (1 + 7j) for n, a in out.items()}, "holds complex128, not numbers"),
        (lambda out: {n: a > 0 for n, a in out.items()}, "holds bool, not numbers"),
    ]:
        report = examine(Without(lambda op, out, answer=answer: answer(out)), rng, **VECTORS)
        assert report.exit_code == 1
        assert sentence in report.first_wrong.detail


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), BaseException("all")])
def test_whatever_a_backend_raises_is_an_answer(
    error: BaseException, rng: np.random.Generator
) -> None:
    def raises(op: str, out: Any) -> Any:
        raise error

    report = examine(Without(raises), rng, **VECTORS)
    assert report.exit_code == 1
    assert type(error).__name__ in report.first_wrong.detail


def test_an_interrupt_ends_the_check_with_what_came_so_far(rng: np.random.Generator) -> None:
    """Whether it is the user's cannot be told; it is never a verdict."""

    def raises(op: str, out: Any) -> Any:
        if op == "sgd":
            raise KeyboardInterrupt
        return out

    report = examine(Without(raises), rng, **VECTORS)
    assert report.exit_code == 2
    assert "interrupted in sgd-plain: the rest was not asked" in report.errors
    assert verdicts_of(report, "relu") == {"ok"}


def test_a_program_that_raises_anything_lives_on() -> None:
    name = "tests.oracle.test_backends:exiting"
    backend = CommandBackend([sys.executable, "-m", "pslref.oracle.serve", name])
    for _ in range(2):
        with pytest.raises(Refused, match=r"^SystemExit: 0"):
            backend.run("relu", {})
    assert backend.calls == 3
    backend.close()


def exiting() -> Any:
    def raises(op: str, out: Any) -> Any:
        raise SystemExit(0)

    backend = Without(raises)
    backend.plain.run = lambda op, inputs: None  # type: ignore[method-assign]
    return backend


def test_complex_numbers_do_not_become_real_on_their_way(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="holds complex128, not numbers"):
        encode({"y": np.ones(2) * (1 + 7j)})


def test_arrays_of_other_kinds_are_written_as_numbers() -> None:
    for kind in (np.longdouble, np.float16):
        assert encode(kind(1.5)) == 1.5
        assert encode(np.ones(1, kind))["data"] == [1.0]


@pytest.mark.parametrize(
    ("spec", "capabilities", "sentence"),
    [
        (("mine", "float64"), lambda: ["linear"], ""),
        (None, lambda: ["linear"], "backend = 'Lax': must have a spec"),
        ("mine", lambda: ["linear"], "backend = 'Lax': must have a spec"),
        (("mine", np.float64), lambda: ["linear"], "spec.dtype = .*: must be one of float32, fl"),
        (("mine", "float64"), lambda: None, "capabilities = 'Lax': must be names of operations"),
        (("mine", "float64"), lambda: 1 / 0, "'Lax': must be names .* but ZeroDivisionError"),
    ],
)
def test_how_a_backend_may_introduce_itself(
    spec: Any, capabilities: Any, sentence: str, rng: np.random.Generator
) -> None:
    """The same in process and behind the pipe."""
    plain = Plain()
    methods = {"capabilities": lambda self: capabilities(), "run": lambda self, *a: plain.run(*a)}
    lax = type("Lax", (), methods | {"spec": spec})()
    if not sentence:
        assert examine(lax, rng, **VECTORS).exit_code == 0
        assert serve.answer(lax, "hello", {})["outputs"]["name"] == "mine"
        return
    for ask in (lambda: examine(lax, rng, **VECTORS), lambda: serve.answer(lax, "hello", {})):
        with pytest.raises(ValueError, match=sentence):
            ask()


class Meddling(Plain):
    """It works on its inputs in place: sorts them first, or sets them to 0 afterwards."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = first

    def run(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        copies = deepcopy(inputs)
        for value in inputs.values():
            if isinstance(value, np.ndarray):
                value.sort()
                value *= self.first
        return super().run(op, inputs if self.first else copies)


@pytest.mark.parametrize("first", [False, True])
def test_a_backend_that_changes_its_inputs_changes_no_verdict(
    first: bool, rng: np.random.Generator
) -> None:
    for _ in range(2):
        report = examine(Meddling(first), rng, ops=["linear", "sgd", "fls", "sample"])
        assert report.exit_code == first
        assert examine(Plain(only=["linear"]), rng).exit_code == 0


def test_what_is_judged_with_is_read_only() -> None:
    for case in shipped():
        arrays = [*case.inputs.values(), *case.inputs.get("weights", {}).values()]
        for value in [*arrays, *case.expected.values()]:
            assert not isinstance(value, np.ndarray) or not value.flags.writeable


def test_a_backend_that_makes_numpy_raise_harms_only_itself(rng: np.random.Generator) -> None:
    def strict(op: str, out: Any) -> Any:
        np.seterr(all="raise")
        return {
            name: array * 1e300 * 1e300 if name == "y" else array for name, array in out.items()
        }

    before = np.geterr()
    report = examine(Without(strict), rng, **VECTORS)
    assert np.geterr() == before
    assert "FloatingPointError" in report.first_wrong.detail

    class Strict(Plain):
        def run(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
            out = super().run(op, inputs)
            np.seterr(all="raise")
            return out

    report = examine(Strict(only=["sample", "split_steps"]), rng)
    assert report.exit_code == 0, report.lines()


def test_what_a_backend_writes_cannot_fake_a_verdict_or_fill_a_screen(
    rng: np.random.Generator,
) -> None:
    evil = "\x1b[2J\r\nRIGHT\n" + "!" * 10**6

    def raises(op: str, out: Any) -> Any:
        if op == "relu":
            raise Unsupported(evil)
        raise ValueError(evil)

    backend = Without(raises)
    backend.spec = Spec(evil)
    for answering in (backend, Without(lambda op, out: {evil: 1.0, **out})):
        text = "\n".join(examine(answering, rng, **VECTORS).lines())
        assert len(text) < 20_000
        assert "\x1b" not in text
        assert "RIGHT" not in text.splitlines()
        assert text.endswith("WRONG")


def test_too_little_that_ran_is_not_right(rng: np.random.Generator) -> None:
    """All but one case unsupported; or nothing but refusals of what must be refused."""

    class Little(Plain):
        def run(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
            if op == "fls" and inputs["batch_size"] <= inputs["sizes"].sum():
                raise Unsupported("valid inputs")
            if op == "conv2d" and inputs["stride"] < 3:
                raise Unsupported("strides")
            return super().run(op, inputs)

    for op, said in [("fls", "0 of 8"), ("conv2d", "1 of 6")]:
        report = examine(Little(only=[op]), rng)
        assert report.exit_code == 2
        assert report.errors[0] == f"{op}: {said} vectors ran: at least a third must"


numbers = st.one_of(
    st.none(), st.integers(), st.floats(), st.sampled_from([-(2**63), 10**400, 1e308, -1e308])
)
arrays = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["float64", "int64", "float32"]),
        "shape": st.just([4]) | st.sampled_from([[], [0], [2, 2]]) | st.just(10**30),
        "data": st.lists(numbers, min_size=4, max_size=4) | st.lists(numbers, max_size=1),
    }
)
names = st.sampled_from(["y", "dx", "id", "outputs", "error", "unsupported", "capabilities"])
answers = st.recursive(
    numbers | st.text(max_size=3) | arrays,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
outputs = answers | st.fixed_dictionaries({"y": arrays, "dx": arrays})
HELLO = {"outputs": {"dtype": "float64", "capabilities": ["relu"]}}


class Answering(CommandBackend):
    """A program that introduces itself with one thing, and then answers with another."""

    def __init__(self, hello: Any, answer: Any) -> None:
        self.left = iter([hello])
        self.answer = answer
        super().__init__("none")

    def _start(self) -> Any:
        self.requests, self.answers, self.last_words = Mock(), self, b""
        return self._ask("hello", {}, 1)

    def get(self, timeout: float) -> Any:
        """The next line."""
        answer = next(self.left, self.answer)
        if isinstance(answer, dict):
            answer = {"id": self.calls} | answer
        line = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return decoded(line.replace(b"\n", b"") + b"\n")


anything = st.binary(max_size=50) | answers | outputs.map(lambda value: {"outputs": value})


@settings(max_examples=120)
@given(anything)
def test_whatever_is_answered_is_wrong_and_no_error_of_the_check(answer: Any) -> None:
    """Nor a warning of NumPy's, which would be an error here."""
    backend = Answering(HELLO, answer)
    report = examine(backend, np.random.default_rng(0), **VECTORS, ops=["relu"])
    assert report.exit_code in (1, 2)
    assert len("".join(report.lines())) < 3000


@given(anything | answers.map(lambda value: {"outputs": {"dtype": value, "capabilities": value}}))
def test_however_it_introduces_itself_it_is_taken_or_refused(hello: Any) -> None:
    """An error in place of an introduction is shown as it is."""
    said = hello.get("error") if isinstance(hello, dict) else None
    with pytest.raises(ValueError, match=r"must answer hello, but |") as caught:
        Answering(hello, {})
    assert "must answer hello, but " in str(caught.value) or str(caught.value) == str(said)


def test_the_integer_farthest_below_0_is_not_0() -> None:
    right, came = np.array([0, 3]), np.array([-(2**63), 3])
    assert divergence({"n": right}, {"n": came}, {"n": 0}).startswith("n: [0] is -9.2")


def test_a_capability_that_is_none_is_refused(rng: np.random.Generator) -> None:
    class Misspelt(Plain):
        def capabilities(self) -> Collection[str]:
            return ["liner"]

    with pytest.raises(ValueError, match=r"capabilities = \['liner'\]: must be of"):
        examine(Misspelt(), rng)
