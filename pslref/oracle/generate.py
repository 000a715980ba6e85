"""The generator of the test vectors: the cases, their inputs, and what the library makes of them.

Every case draws its inputs from a stream named after its id, so a new case changes no other. All
floats are multiples of 1/64, so that float32 holds them exactly.
"""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pslref import check
from pslref.files import check_outputs, replacing
from pslref.oracle import growth
from pslref.oracle.backends import as_arrays
from pslref.oracle.cases_layers import LAYER_CASES, OPTIMIZER_CASES
from pslref.oracle.cases_samplers import LAW_CASES, SAMPLER_CASES, Make
from pslref.oracle.library import Library
from pslref.oracle.networks import STEP_CASES, split_inputs
from pslref.oracle.notes import NOTES
from pslref.oracle.vectors import NAMES, Case, as_json, schema


def generate(folder: Path) -> list[Path]:
    """Write all files of vectors and their schema; each is validated first.

    Raises:
        ValueError: without jsonschema.
        jsonschema.ValidationError: if a file does not fit the schema.
    """
    check.installed("jsonschema", "generating vectors")
    import jsonschema

    check_outputs(("folder", folder, NAMES))
    rules = schema()
    groups = {
        "layers": [_case(*row) for row in LAYER_CASES],
        "optimizer": [_case(*row) for row in OPTIMIZER_CASES],
        "steps": list(_steps()),
        "samplers": [_case(*row) for row in SAMPLER_CASES],
        "laws": [_case(*row) for row in LAW_CASES],
    }
    texts = {}
    for group, cases in groups.items():
        used = {flag for case in cases for flag in case.flags}
        notes = {flag: text for flag, text in NOTES.items() if flag in used}
        assert used == notes.keys(), f"flags without a note: {used - notes.keys()}"
        texts[group] = as_json(group, notes, cases)
        jsonschema.validate(json.loads(texts[group]), rules)
    texts["schema"] = json.dumps(rules, indent=1) + "\n"
    for name, text in texts.items():
        with replacing(folder / f"{name}.json") as temporary:
            temporary.write_bytes(text.encode())
    return [folder / f"{name}.json" for name in texts]


def stream(case_id: str, attempt: int = 0) -> np.random.Generator:
    """The random numbers of one case."""
    return np.random.Generator(np.random.PCG64([zlib.crc32(case_id.encode()), attempt]))


def _case(
    case_id: str,
    op: str,
    flags: list[str],
    make: Make,
    result: str,
) -> Case:
    inputs = make(stream(case_id))
    expected = {} if result == "invalid" else as_arrays(Library().run(op, inputs))
    return Case(case_id, op, flags, result, inputs, expected, {})


def _steps() -> Iterator[Case]:
    for case_id, flags, network, cut, batch_sizes, settings in STEP_CASES:
        for attempt in range(1000):
            rng = stream(case_id, attempt)
            inputs = split_inputs(rng, network, cut, np.array(batch_sizes), settings)
            if growth.margin(inputs) > growth.LEAST_MARGIN:
                break
        expected = as_arrays(Library().run("split_steps", inputs))
        limits = growth.limits(inputs, expected, rng)
        yield Case(case_id, "split_steps", flags, "valid", inputs, expected, limits)
    nobody = split_inputs(stream("nobody"), "mlp", 2, np.array([[2, 1], [0, 0]]), {})
    yield Case("steps-nobody", "split_steps", ["empty-step"], "invalid", nobody, {}, {})
