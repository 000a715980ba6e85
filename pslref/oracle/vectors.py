"""The test vectors: files of cases in JSON, their reader, and what makes a release of them."""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from pslref import check
from pslref.check import Array
from pslref.files import check_outputs, replacing
from pslref.oracle.codec import decode
from pslref.oracle.compare import flatten
from pslref.oracle.library import OPS
from pslref.oracle.operation import GROUPS, STEP, Values
from pslref.versions import MADE_BY

SPEC_VERSION = 2
FILES = [f"{group}.json" for group in GROUPS]
NAMES = [*FILES, "schema.json", "README.md", "manifest.json"]


class Case(NamedTuple):
    """One test vector.

    `result` is "valid": the outputs must be these; "invalid": the inputs must be refused; or
    "acceptable": other conventions exist, and what they give is noted but not wrong.
    """

    id: str
    op: str
    flags: list[str]
    result: str
    inputs: Values
    expected: dict[str, Array]  # flat
    limits: dict[str, float]  # how far any number of an output may be off, in units of u
    others: Sequence[dict[str, Array]] = ()  # of "acceptable": where they differ from `expected`


def folder() -> Any:
    """Where the files are, inside the package."""
    return files("pslref.oracle") / "vectors"


@cache
def sources() -> dict[str, Any]:
    """Of what the vectors are made: cases, notes on their flags, and what changed."""
    return tomllib.loads((folder() / "cases.toml").read_text(encoding="utf-8"))


def read(text: str) -> list[Case]:
    """The cases of one file's text.

    Raises:
        ValueError: for another version of the format, and for text that has none.
    """
    try:
        content = json.loads(text)
        if content["spec_version"] != SPEC_VERSION:
            raise check.wrong("spec_version", content["spec_version"], f"must be {SPEC_VERSION}")
        return [
            Case(
                case["id"],
                case["op"],
                case["flags"],
                case["result"],
                decode(case["inputs"]),
                flatten(decode(case["expected"])),
                case["limits"],
                [flatten(decode(other)) for other in case.get("others", [])],
            )
            for case in content["cases"]
        ]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise check.wrong("text", text, f"must be a file of test vectors: {error!r}") from None


@cache
def shipped() -> tuple[Case, ...]:
    """All cases in the package, in the order in which to look at them; their arrays read-only."""
    found = [case for name in FILES for case in read((folder() / name).read_text("utf-8"))]
    for case in found:
        for array in [*flatten(case.inputs).values(), *case.expected.values()]:
            array.flags.writeable = False
    return tuple(found)


def export(target: Path) -> list[Path]:
    """Write the vectors in the package as a release."""
    return release(target, {name: (folder() / name).read_bytes() for name in FILES})


def release(target: Path, vectors: Mapping[str, bytes]) -> list[Path]:
    """Write files of vectors, their schema, a page on them, and the manifest of all these."""
    check_outputs(("folder", target, NAMES))
    rules = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    page = (folder() / "README.md").read_bytes()
    contents = {**vectors, "schema.json": rules.encode(), "README.md": page}
    manifest = {
        "spec_version": SPEC_VERSION,
        "changes": sources()["changes"],
        "made_by": MADE_BY,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    contents["manifest.json"] = (json.dumps(manifest, indent=1) + "\n").encode()
    for name, content in contents.items():
        with replacing(target / name) as temporary:
            temporary.write_bytes(content)
    return [target / name for name in contents]


def schema() -> dict[str, Any]:
    """The JSON Schema of the files, from the table of operations."""
    layers: dict[str, dict[str, str]] = {"flatten": {}}
    layers |= {
        name: {kind: op.inputs[kind] for kind in op.inputs if op.inputs[kind] != "floats"}
        for name, op in OPS.items()
        if {"x", "dy"} <= op.inputs.keys()
    }
    layers["residual"] = dict.fromkeys(("branch", "shortcut"), "layers")
    definitions: dict[str, Any] = {
        "number": {"type": "number"},
        "whole": {"type": "integer"},
        "text": {"type": "string"},
        "floats": _array(["float32", "float64"], "number"),
        "ints": _array(["int64"], "integer"),
        "weights": {"type": "object", "additionalProperties": {"$ref": "#/$defs/floats"}},
        "layers": _list(
            {"oneOf": [_object({"type": {"const": n}, **_of(s)}) for n, s in layers.items()]}
        ),
        "steps": _list(_object(_of(STEP))),
    }
    ops = {name: op for name, op in OPS.items() if op.group in GROUPS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Test vectors of parallel split learning",
        "$defs": definitions,
        **_object(
            {
                "spec_version": {"const": SPEC_VERSION},
                "group": {"enum": list(GROUPS)},
                "notes": {"type": "object", "additionalProperties": {"type": "string"}},
                "cases": _list({"anyOf": [rule for name in ops for rule in _cases(name)]}),
            }
        ),
    }


def _cases(name: str) -> list[dict[str, Any]]:
    """What a case of an operation must have: whether it is valid, acceptable or invalid."""
    op, rules = OPS[name], []
    outputs = _object(_of(op.outputs))
    floats = [output for output, kind in op.outputs.items() if kind in ("floats", "number")]
    floats = [*STEP, *floats] if name == "split_steps" else floats
    for result in ("valid", "acceptable", "invalid"):
        fields = {
            "id": {"type": "string", "pattern": "^[a-z0-9-]+$"},
            "op": {"const": name},
            "equation": {"const": op.equation},
            "flags": _list({"type": "string"}),
            "result": {"const": result},
            "inputs": _object(_of(op.inputs)),
            "expected": outputs if result != "invalid" else _object({}),
            "limits": _object(_of(dict.fromkeys(floats if result != "invalid" else (), "number"))),
        }
        if result == "acceptable":
            fields["others"] = _list({**outputs, "required": []})
        rules.append(_object(fields))
    return rules


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    closed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **closed}


def _of(kinds: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/$defs/{kind}"} for name, kind in kinds.items()}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _array(dtypes: list[str], of: str) -> dict[str, Any]:
    whole = {"type": "integer", "minimum": 0}
    fields = {"dtype": {"enum": dtypes}, "shape": _list(whole), "data": _list({"type": of})}
    return _object(fields)
