"""The training loop of docs/examples in PyTorch, where that is installed."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from pslref.nn import SGD, cross_entropy, mlp

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "pytorch.py"


def test_it_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 80


@pytest.mark.parametrize("sampler", ["ugs", "targets"])
def test_split_and_pooled_training_in_pytorch_are_sgd_on_the_same_batches(sampler: str) -> None:
    """To rounding: two epochs of float32 from the same weights."""
    pytest.importorskip("torch")
    page = runpy.run_path(str(EXAMPLE))
    net, sgd = mlp([64, 32, 10], np.random.default_rng(0), "float32"), SGD(0.1)
    digits = page["DIGITS"]

    def weights_of(linear) -> dict[str, np.ndarray]:
        arrays = [(layer.weight.T, layer.bias) for layer in linear if hasattr(layer, "weight")]
        names = ["1.weight", "1.bias", "3.weight", "3.bias"]
        values = [array.detach().numpy() for pair in arrays for array in pair]
        return dict(zip(names, values, strict=True))

    for name, start in weights_of([*page["halves"]()[0], page["halves"]()[1]]).items():
        net.parameters()[name][...] = start
    rng = np.random.default_rng(2)
    for step in (step for _ in range(2) for step in page["epoch"](sampler, rng)):
        batch = np.concatenate([indices for _, indices in step])
        logits, cache = net.forward(digits.x_train[batch])
        _, gradient = cross_entropy(logits, digits.y_train[batch])
        sgd.update(net.parameters(), net.backward(gradient, cache)[1])
    for train in (page["train_split"], page["train_pooled"]):
        client, server = train(sampler, epochs=2)
        for name, found in weights_of([*client, server]).items():
            np.testing.assert_allclose(found, net.parameters()[name], atol=2e-5)
