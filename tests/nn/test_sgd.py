import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pslref.nn import SGD


def test_the_convention_by_hand() -> None:
    w = np.array([1.0])
    optimizer = SGD(0.5, momentum=0.5, weight_decay=0.1)
    optimizer.update({"w": w}, {"w": np.array([2.0])})  # g = 2.1, v = 2.1
    assert w == pytest.approx(-0.05)
    optimizer.update({"w": w}, {"w": np.array([1.0])})  # g = 0.995, v = 2.045
    assert w == pytest.approx(-1.0725)


def test_unless_asked_for_there_is_neither_momentum_nor_weight_decay() -> None:
    w, optimizer = np.array([1.0]), SGD(0.5)
    for expected in (0.0, -1.0, -2.0):
        optimizer.update({"w": w}, {"w": np.array([2.0])})
        assert w.tolist() == [expected]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_five_steps_equal_pytorch(
    momentum: float, weight_decay: float, rng: np.random.Generator
) -> None:
    torch = pytest.importorskip("torch")
    ours = {"0.weight": rng.standard_normal((3, 4)), "2.bias": rng.standard_normal(2)}
    theirs = {name: torch.tensor(array.copy()) for name, array in ours.items()}
    optimizer = SGD(0.1, momentum, weight_decay)
    witness = torch.optim.SGD(theirs.values(), lr=0.1, momentum=momentum, weight_decay=weight_decay)
    for _ in range(5):
        grads = {name: rng.standard_normal(array.shape) for name, array in ours.items()}
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(grads[name])
        witness.step()
        optimizer.update(ours, grads)
    for name, array in ours.items():
        assert array == pytest.approx(theirs[name].numpy(), rel=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_it_writes_to_the_parameters_and_to_nothing_else(
    dtype: str, momentum: float, weight_decay: float
) -> None:
    w, g = np.ones(3, dtype), np.full(3, 0.5, dtype)
    g.setflags(write=False)
    parameters = {"w": w}
    optimizer = SGD(0.1, momentum, weight_decay)
    for _ in range(3):  # the second step would write to g if v were g
        optimizer.update(parameters, {"w": g})
    assert parameters["w"] is w
    assert w.dtype == dtype
    assert all(v.dtype == dtype for v in optimizer.velocity.values())
    assert (w < 0.9).all()


def test_two_optimizers_share_nothing() -> None:
    one, two = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9)
    one.update({"w": np.ones(1)}, {"w": np.ones(1)})
    w = np.ones(1)
    two.update({"w": w}, {"w": np.ones(1)})
    assert w == pytest.approx(0.9)


@pytest.mark.parametrize("names", [(), ("a", "c"), ("a", "b", "c")])
def test_gradients_of_other_parameters_are_refused(names: tuple[str, ...]) -> None:
    parameters = {"a": np.ones(1), "b": np.ones(1)}
    sentence = rf"^grads = {re.escape(str(sorted(names)))}: must name \['a', 'b'\]$"
    with pytest.raises(ValueError, match=sentence):
        SGD(0.1).update(parameters, {name: np.ones(1) for name in names})
    assert parameters == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("w", "g", "sentence"),
    [
        (np.ones(2), np.ones(1), r"grads\['b'\].shape = \(1,\): must be the parameter's, \(2,\)"),
        (np.ones(2), np.ones((2, 2)), r"grads\['b'\].shape = \(2, 2\)"),
        (np.ones(2), np.ones(2, bool), r"grads\['b'\] = .*, no truth values"),
        (np.ones(2), np.ma.array([1.0, 2.0], mask=[True, False]), r"grads\['b'\] = .* masked"),
        (np.ones(2), np.ones(2, "f2"), r"grads\['b'\].dtype = 'float16'"),
        (np.ones(2, int), np.ones(2), r"parameters\['b'\].dtype = dtype\('int64'\): must be"),
        (np.ones(2, "f2"), np.ones(2), r"parameters\['b'\].dtype = dtype\('float16'\)"),
    ],
)
def test_what_is_no_gradient_of_a_parameter_is_refused_before_any_changes(
    w: NDArray[Any], g: NDArray[Any], sentence: str
) -> None:
    parameters = {"a": np.ones(1), "b": w}
    with pytest.raises(ValueError, match=f"^{sentence}"):
        SGD(0.1).update(parameters, {"a": np.ones(1), "b": g})
    assert (parameters["a"] == 1).all()
    assert (w == 1).all()


def test_gradients_of_whole_numbers_or_another_precision_become_the_parameters() -> None:
    w, optimizer = np.ones(2, "f4"), SGD(0.5, momentum=0.5)
    for g in (np.array([1, 2], "u1"), np.array([0.5, 1.0])):
        optimizer.update({"w": w}, {"w": g})
    assert w.tolist() == [0.0, -1.0]
    assert optimizer.velocity["w"].dtype == np.float32
