"""Makes the test vectors: from cases.toml, and from what the library makes of it, as a release.

python -m tools.vectors FOLDER; it needs jsonschema.
"""

import json
import re
import sys
import zlib
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from pslref.check import Array
from pslref.oracle import growth
from pslref.oracle.codec import encode
from pslref.oracle.compare import flatten
from pslref.oracle.library import OPS, Library
from pslref.oracle.networks import numbers, split_inputs
from pslref.oracle.operation import GROUPS, ROUNDOFF, Values
from pslref.oracle.vectors import SPEC_VERSION, release, schema, sources

DTYPES = {"floats": np.float64, "ints": np.int64}
ATTEMPTS = 1000


def generate(folder: Path) -> list[Path]:
    """Write all files of vectors as a release; each is validated first."""
    rules, texts = jsonschema.Draft202012Validator(schema()), {}
    for group in GROUPS:
        rows = [(op, row) for op, rows in sources()["cases"].items() for row in rows]
        cases = [_case(op, **row) for op, row in rows if OPS[op].group == group]
        used = {flag for case in cases for flag in case["flags"]}
        notes = {flag: note for flag, note in sources()["notes"].items() if flag in used}
        assert used == notes.keys(), f"flags without a note: {used - notes.keys()}"
        head = _compact({"spec_version": SPEC_VERSION, "group": group, "notes": notes})
        text = f'{head[:-1]},"cases":[\n' + ",\n".join(map(_compact, cases)) + "\n]}\n"
        rules.validate(json.loads(text))
        texts[f"{group}.json"] = text.encode()
    return release(folder, texts)


def _case(
    op: str,
    id: str,
    flags: tuple[str, ...] = (),
    result: str = "valid",
    others: Any = (),
    **row: Any,
) -> Values:
    """A case as in a file."""
    case: Values = {"id": id if op == "split_steps" else f"{op.replace('_', '-')}-{id}", "op": op}
    case |= {"equation": OPS[op].equation, "flags": list(flags), "result": result}
    expected: Values = {}
    limits: dict[str, float] = {}
    for attempt in range(ATTEMPTS):
        rng = stream(case["id"], attempt)
        inputs = _inputs(op, rng, **row)
        if result == "invalid":
            break
        expected = Library().run(op, inputs)
        if op != "split_steps":
            limits = _limits(op, inputs, expected)
            break
        limits = growth.limits(inputs, flatten(expected), rng)
        if growth.margin(inputs) > growth.least_margin(limits):
            break
    case |= {"inputs": encode(inputs), "expected": encode(expected), "limits": limits}
    if others:
        case["others"] = [{n: encode(np.array(a)) for n, a in one.items()} for one in others]
    return case


def _limits(op: str, inputs: Values, expected: Values) -> dict[str, float]:
    """The largest bound of each output, in units of u, rounded up: for who has no derived ones."""
    bounds = [(OPS[op].bounds(inputs, dtype), u) for dtype, u in ROUNDOFF.items()]
    return {
        name: float(f"{1.06 * max(float(np.max(b.get(name, 0.0))) / u for b, u in bounds):.1e}")
        for name in expected
        if OPS[op].outputs[name] != "ints"
    }


def stream(case_id: str, attempt: int = 0) -> np.random.Generator:
    """The random numbers of one case."""
    return np.random.Generator(np.random.PCG64([zlib.crc32(case_id.encode()), attempt]))


def _inputs(op: str, rng: np.random.Generator, **row: Any) -> Values:
    """The inputs of a case, its arrays drawn in the order in which they are given."""
    if op == "split_steps":
        arrays = ("batch_sizes", "epochs", "scales")
        row |= {name: np.array(row[name]) for name in arrays if name in row}
        return split_inputs(rng, **row)
    made = {}
    for name, value in row.items():
        dtype = DTYPES.get(OPS[op].inputs[name])
        drawn = _drawn(rng, value) if dtype and isinstance(value, str) else value
        made[name] = np.array(drawn, dtype) if dtype else drawn
    return {name: made[name] for name in OPS[op].inputs}


def _drawn(rng: np.random.Generator, text: str) -> Array:
    """An array, as cases.toml describes it."""
    what, *changed = re.split(" ([*/+]) ", text)
    name, *words = what.replace(" of", "").split()
    shape = tuple(map(int, words))
    size = int(np.prod(shape))
    array: Array
    if name == "distinct":
        array = (2 * rng.permutation(size) - size // 2 * 2 + 1).reshape(shape) / 64
    elif name == "numbers":
        array = numbers(rng, shape)
    elif name == "labels":
        array = rng.integers(0, shape[1], shape[0])
    elif name == "permutation":
        array = rng.permutation(size)
    elif name == "alpha":
        array = rng.integers(1, 256, size) / 32
    else:  # clients
        drawn = np.searchsorted(np.cumsum(shape), rng.integers(0, sum(shape), 90), "right")
        array = np.concatenate([drawn, np.tile(np.arange(len(shape)), 10)])
    for sign, number in zip(changed[::2], changed[1::2], strict=True):
        array = {"*": np.multiply, "/": np.divide, "+": np.add}[sign](array, float(number))
    return array


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
