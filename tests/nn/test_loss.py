import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from pslref.nn import cross_entropy, numerical_derivative

seeds = st.integers(0, 2**32)


@given(st.integers(1, 6), st.integers(1, 5), st.floats(0.1, 1e4), seeds)
def test_it_is_the_mean_of_the_logs(n: int, classes: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.uniform(-scale, scale, (n, classes)), rng.integers(0, classes, n)
    loss, gradient = cross_entropy(logits, labels)
    logs = log_softmax(logits, axis=1)
    assert loss == pytest.approx(-logs[np.arange(n), labels].mean(), rel=1e-12, abs=1e-12)
    assert gradient == pytest.approx((np.exp(logs) - np.eye(classes)[labels]) / n, abs=1e-12)


@given(st.integers(1, 6), st.integers(1, 5), seeds)
def test_gradient(n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.standard_normal((n, classes)), rng.integers(0, classes, n)
    u = rng.standard_normal(logits.shape)
    u /= np.linalg.norm(u)
    numerical = numerical_derivative(lambda t: cross_entropy(logits + t * u, labels)[0])
    analytic = np.sum(u * cross_entropy(logits, labels)[1])
    assert abs(numerical - analytic) <= 1e-7 * max(1, abs(numerical))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_stable_at_huge_logits_and_keeps_the_dtype(dtype: str) -> None:
    logits = np.array([[1e4, -1e4], [1e4, -1e4], [-1e4, -1e4]], dtype)
    logits.setflags(write=False)
    loss, gradient = cross_entropy(logits, [0, 1, 1])
    assert loss == pytest.approx((0 + 2e4 + np.log(2)) / 3)
    assert gradient.dtype == dtype
    assert gradient * 3 == pytest.approx(np.array([[0, 0], [1, -1], [0.5, -0.5]]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_does_not_overflow(dtype: str) -> None:
    logits = np.array([[3e38, -3e38], [1e30, -1e30], [1e-30, 0]], dtype)
    loss, gradient = cross_entropy(logits, [1, 0, 0])
    assert loss == pytest.approx(2e38)
    assert gradient * 3 == pytest.approx(np.array([[1, -1], [0, 0], [-0.5, 0.5]]))


@given(st.integers(1, 2000), st.integers(1, 400), st.floats(1e-3, 1e4), seeds)
def test_float32_is_float64_rounded_once(n: int, classes: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = (scale * rng.standard_normal((n, classes))).astype(np.float32)
    labels = rng.integers(0, classes, n)
    loss, gradient = cross_entropy(logits, labels)
    exact_loss, exact_gradient = cross_entropy(logits.astype(np.float64), labels)
    assert loss == exact_loss
    assert (gradient == exact_gradient.astype(np.float32)).all()


def test_whole_numbers_become_float64() -> None:
    logits = np.array([[0, 200], [7, 3]], np.uint8)
    loss, gradient = cross_entropy(logits, [0, 1])
    assert loss == pytest.approx((200 + np.log1p(np.exp(-4)) + 4) / 2)
    assert gradient.dtype == np.float64
    assert cross_entropy(logits.tolist(), [0, 1])[0] == loss


def test_ten_classes_by_chance_cost_log_10() -> None:
    loss, gradient = cross_entropy(np.zeros((4, 10)), np.arange(4))
    assert loss == pytest.approx(np.log(10))
    assert gradient.sum(axis=1) == pytest.approx(0)


def test_nan_is_passed_on() -> None:
    loss, gradient = cross_entropy(np.array([[0.0, np.nan], [0.0, 1.0]]), [0, 0])
    assert np.isnan(loss)
    assert np.isnan(gradient).any(axis=1).tolist() == [True, False]


def test_it_equals_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    logits, labels = 5 * rng.standard_normal((7, 4)), rng.integers(0, 4, 7)
    loss, gradient = cross_entropy(logits, labels)
    z = torch.tensor(logits, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(z, torch.tensor(labels))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-13)
    assert gradient == pytest.approx(z.grad.numpy(), abs=1e-15)
