"""Every field of a config is an option; what options refuse is in tests/test_nonsense.py."""

import json
from dataclasses import fields

import pytest

from pslref.app.config import SAMPLERS, Config


def test_every_field_is_an_option_with_its_help_and_default(pslref) -> None:
    text = " ".join(pslref("compare", "--help")[1].split())
    shown = text.replace(" ", "")  # where the help is wrapped
    for field in fields(Config):
        default = field.default
        if field.name == "sampler":  # of which `compare` has more
            default = SAMPLERS
        of = ",".join(map(str, default)) if isinstance(default, tuple) else default
        assert f"--{field.name.replace('_', '-')} <" in text
        expected = f"{field.metadata['help']}[default: {of}]"
        assert expected.replace(" ", "") in shown


# The fields of `schedule`, each as another value than by default.
GIVEN = {
    "partition": "mild", "clients": 9, "batch_size": 100, "seed": 3, "remainder": "even",
    "fraction": 0.5, "slowdown": 4.0, "jitter": 1.0, "sample_cost": 0.25, "delta": 0.5,
    "concentration": 2.0, "slack": 0.125, "sampler": ["lds", "targets"],
}  # fmt: skip


@pytest.mark.parametrize("repeated", [False, True])
def test_an_option_sets_its_field_and_no_other(repeated: bool, pslref) -> None:
    """What may have several values takes them with commas, or is repeated."""
    options = []
    for name, value in GIVEN.items():
        values = value if isinstance(value, list) else [value]
        texts = values if repeated else [",".join(map(str, values))]
        options += [f"--{name.replace('_', '-')}={text}" for text in texts]
    config = json.loads(pslref("schedule", *options, "--epochs=1", "--json")[1])["config"]
    assert {name: config.pop(name) for name in GIVEN} == GIVEN
    default = json.loads(pslref("schedule", "--epochs=1", "--json")[1])["config"]
    assert config == {name: value for name, value in default.items() if name not in GIVEN}


def test_a_sweep_says_that_it_runs_every_sampler(pslref) -> None:
    text = "".join(pslref("sweep", "--help")[1].split())
    assert f"[default:{','.join(SAMPLERS)}]" in text
