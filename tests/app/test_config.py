"""What a config is; what it refuses is in tests/test_wrong_arguments.py."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from pslref.app.config import Config


def test_an_experiment_is_a_value_that_cannot_be_changed() -> None:
    config = Config(clients=8)
    assert config == Config(clients=8) != Config()
    assert hash(config) == hash(Config(clients=8))
    with pytest.raises(FrozenInstanceError):
        config.clients = 9


def test_equal_configs_are_written_alike() -> None:
    whole = [field.name for field in fields(Config) if isinstance(field.default, float)]
    for name in whole:
        config = replace(Config(), **{name: 1})
        assert config == replace(Config(), **{name: 1.0})
        assert type(getattr(config, name)) is float


@pytest.mark.parametrize(
    "ends",
    [
        {"clients": 1, "batch_size": 1, "cut": 1, "epochs": 1, "seed": 0, "faults": 0},
        {"clients": 100_000, "epochs": 1_000_000, "seed": 2**63, "faults": 1},
        {"momentum": 0, "weight_decay": 0, "fraction": 0, "slowdown": 1, "jitter": 0},
        {"momentum": 1, "weight_decay": 1e9, "fraction": 1, "slowdown": 1e9, "jitter": 1e9},
        {"sample_cost": 0, "delta": 0, "slack": 0, "learning_rate": 5e-324, "hidden": ()},
        {"sample_cost": 1e9, "delta": 1e9, "slack": 2, "concentration": 5e-324, "hidden": (1,)},
    ],
)
def test_the_ends_of_a_range_are_in_it(ends) -> None:
    config = Config(**ends)
    assert {name: getattr(config, name) for name in ends} == ends
