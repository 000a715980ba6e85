"""The test vectors: files of cases in JSON, their reader, and the schema they are held to."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from pslref import check
from pslref.files import check_outputs, replacing
from pslref.oracle.backends import Values
from pslref.oracle.codec import decode, encode
from pslref.oracle.ops import GROUPS, LAYERS, OPS, STEP

SPEC_VERSION = 1
NAMES = [f"{name}.json" for name in [*GROUPS, "schema"]]


class Case(NamedTuple):
    """One test vector.

    `result` is "valid": the outputs must be these; "invalid": the inputs must be refused; or
    "acceptable": other conventions exist, and another output is noted but not wrong.
    """

    id: str
    op: str
    flags: list[str]
    result: str
    inputs: Values
    expected: Values
    limits: dict[str, float]  # of `split_steps`: see `growth`


def folder() -> Any:
    """Where the files are, inside the package."""
    return files("pslref.oracle") / "vectors"


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
                decode(case["expected"]),
                case.get("limits", {}),
            )
            for case in content["cases"]
        ]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise check.wrong("text", text, f"must be a file of test vectors: {error!r}") from None


@cache
def shipped() -> tuple[Case, ...]:
    """All cases in the package, in the order in which to look at them."""
    texts = [(folder() / f"{group}.json").read_text(encoding="utf-8") for group in GROUPS]
    return tuple(case for text in texts for case in read(text))


def export(target: Path) -> list[Path]:
    """Copy the files and their schema to a folder."""
    check_outputs(("folder", target, NAMES))
    for name in NAMES:
        with replacing(target / name) as temporary:
            temporary.write_bytes((folder() / name).read_bytes())
    return [target / name for name in NAMES]


def as_json(group: str, notes: dict[str, str], cases: list[Case]) -> str:
    """One file: a case on each line, arrays in the shortest decimals that give them again."""
    head = {"spec_version": SPEC_VERSION, "group": group, "notes": notes}
    lines = []
    for case in cases:
        entry: dict[str, Any] = {"id": case.id, "op": case.op, "equation": OPS[case.op].equation}
        entry |= {"flags": case.flags, "result": case.result}
        entry |= {"inputs": encode(case.inputs), "expected": encode(case.expected)}
        entry |= {"limits": case.limits} if case.limits else {}
        lines.append(_compact(entry))
    return f'{_compact(head)[:-1]},"cases":[\n' + ",\n".join(lines) + "\n]}\n"


def schema() -> dict[str, Any]:
    """The JSON Schema of the files, from the table of operations."""
    definitions: dict[str, Any] = {
        "number": {"type": "number"},
        "whole": {"type": "integer"},
        "text": {"type": "string"},
        "floats": _array(["float32", "float64"], "number"),
        "ints": _array(["int64"], "integer"),
        "weights": {"type": "object", "additionalProperties": {"$ref": "#/$defs/floats"}},
        "layers": {"type": "array", "items": {"oneOf": [_layer(kind) for kind in LAYERS]}},
        "steps": {"type": "array", "items": _values(STEP)},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Test vectors of parallel split learning",
        "$defs": definitions,
        **_object(
            {
                "spec_version": {"const": SPEC_VERSION},
                "group": {"enum": list(GROUPS)},
                "notes": {"type": "object", "additionalProperties": {"type": "string"}},
                "cases": {"type": "array", "minItems": 1, "items": _case()},
            }
        ),
    }


def _case() -> dict[str, Any]:
    """Which operation it is decides what else it must have."""
    ops = {name: op for name, op in OPS.items() if op.group in GROUPS}
    rules = []
    for name, op in ops.items():
        for results in (["valid", "acceptable"], ["invalid"]):
            refused = results == ["invalid"]
            fields = {
                "id": {"type": "string", "pattern": "^[a-z0-9-]+$"},
                "op": {"const": name},
                "equation": {"const": op.equation},
                "flags": {"type": "array", "items": {"type": "string"}},
                "result": {"enum": results},
                "inputs": _values(op.inputs),
                "expected": _values({} if refused else op.outputs),
            }
            if name == "split_steps" and not refused:
                fields["limits"] = _values(dict.fromkeys([*STEP, "logits"], "number"))
            is_this = {"properties": {"op": {"const": name}, "result": {"enum": results}}}
            rules.append({"if": is_this, "then": _object(fields)})
    known = {"op": {"enum": list(ops)}, "result": {"enum": ["valid", "acceptable", "invalid"]}}
    return {"type": "object", "properties": known, "required": list(known), "allOf": rules}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    names = list(properties)
    return {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": False,
    }


def _values(kinds: dict[str, str]) -> dict[str, Any]:
    return _object({name: {"$ref": f"#/$defs/{kind}"} for name, kind in kinds.items()})


def _layer(kind: str) -> dict[str, Any]:
    numbers = {name: {"type": "number"} for name in LAYERS[kind]}
    return _object({"type": {"const": kind}, **numbers})


def _array(dtypes: list[str], of: str) -> dict[str, Any]:
    return _object(
        {
            "dtype": {"enum": dtypes},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "data": {"type": "array", "items": {"type": of}},
        }
    )


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
