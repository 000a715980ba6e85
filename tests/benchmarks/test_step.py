"""pslref and its peers in PyTorch take the same steps; their speed is not tested here."""

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import step, threads


@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet"])
def test_all_contestants_have_the_same_losses(model: str) -> None:
    head, *rows = step.lines((model,), clients=(5,), rounds=2, steps_per_round=2)
    assert [row[:3] for row in rows] == [[model, "5", "clients"], [model, "5", "pooled"]]
    assert all(len(row) == len(head) for row in rows)


def test_other_losses_are_noticed() -> None:
    net = step.network("mlp", np.random.default_rng(0))
    steps = step.contestants(net, 3, num_clients=5, num_steps=2)
    fused = steps["fused"]
    steps["fused"] = lambda t: 1.002 * fused(t)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        step.race(steps, rounds=1, steps_per_round=1)


def test_the_operations_of_the_products_are_counted() -> None:
    rng = np.random.default_rng(0)
    first, others = 784 * 256, 256 * 128 + 128 * 10
    assert step.flops(step.network("mlp", rng)) == 128 * 2 * (2 * first + 3 * others)
    first, others = 9 * 16 * 28 * 28, 9 * 16 * 32 * 14 * 14 + 32 * 7 * 7 * 10
    assert step.flops(step.network("cnn", rng)) == 128 * 2 * (2 * first + 3 * others)
    first, stages = 9 * 16 * 28 * 28, [2 * 9 * 16 * 16 * 28 * 28]
    for width, pixels in ((16, 14 * 14), (32, 7 * 7)):
        stages.append((9 * 2 + 9 * 4 + 2) * width * width * pixels)
    others = sum(stages) + 64 * 10
    assert step.flops(step.network("resnet", rng)) == 128 * 2 * (2 * first + 3 * others)


def test_all_contestants_run_with_each_number_of_threads() -> None:
    head, row = threads.lines([("mlp", 8, 2)], 2)
    assert row[:2] == ["mlp", "8"]
    assert len(row) == len(head)
