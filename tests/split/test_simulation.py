"""The invariant: a step of parallel split learning is one centralized step on the pooled batch."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref.nn import (
    AvgPool2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    cnn,
    cross_entropy,
    mlp,
)
from pslref.partition import Partition, iid
from pslref.sampling import Schedule, fls, targets, ugs
from pslref.split import Diverged, Simulation
from pslref.theory import expected_deviation
from tests.law import departures, smallest_shift

CLASSES = 3
SETTINGS = {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01}


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, tuple[int, int, int]]:
    """Any order of the image layers, then Flatten, a hidden layer or none, and logits."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    channels = draw(st.sampled_from([1, 2, 4]))
    shape = (height, width, channels)
    layers: list = []
    for kind in draw(st.lists(st.sampled_from(["conv", "relu", "max", "avg", "norm"]), max_size=4)):
        if kind == "conv":
            layers.append(
                Conv2d(channels, 4, 2, stride=draw(st.integers(1, 2)), padding=1, rng=rng)
            )
            channels = 4
        elif kind == "relu":
            layers.append(ReLU())
        elif kind == "norm":
            layers.append(GroupNorm(draw(st.sampled_from([1, channels])), channels))
        elif kind == "max":
            layers.append(MaxPool2d(1, stride=2))
        else:
            layers.append(AvgPool2d(1))
    features = Network([*layers, Flatten()]).forward(np.zeros((1, *shape)))[0].shape[1]
    layers.append(Flatten())
    if draw(st.booleans()):
        layers += [Linear(features, 5, rng=rng), ReLU()]
        features = 5
    layers.append(Linear(features, CLASSES, rng=rng))
    return Network(layers), shape


def steps_for(sizes: np.ndarray, rng: np.random.Generator, num_steps: int) -> np.ndarray:
    """Random batch sizes with zeros, single participants and uneven shares."""
    rows, left = [], sizes.copy()
    for _ in range(num_steps):
        row = rng.integers(0, np.minimum(left, 4) + 1)
        if not row.any():
            row[np.argmax(left)] = 1
        left = left - row
        rows.append(row)
    return np.array(rows)


class Centralized:
    """SGD on one network, written out again: PyTorch's convention, one parameter at a time."""

    def __init__(self, net: Network) -> None:
        self.net = net.copy()
        self.velocity: dict[str, np.ndarray] = {}

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        logits, cache = self.net.forward(x)
        loss, gradient = cross_entropy(logits, y)
        _, gradients = self.net.backward(gradient, cache)
        for name, parameter in self.net.parameters().items():
            g = gradients[name] + SETTINGS["weight_decay"] * parameter
            v = g if name not in self.velocity else SETTINGS["momentum"] * self.velocity[name] + g
            self.velocity[name] = v
            parameter -= SETTINGS["learning_rate"] * v
        return loss


def assert_equal(found: Network, expected: Network) -> None:
    assert found.parameters().keys() == expected.parameters().keys()
    for name, value in expected.parameters().items():
        error = np.max(np.abs(found.parameters()[name] - value), initial=0)
        assert error <= 1e-10 * np.max(np.abs(value), initial=1e-6), name


def setting(seed: int, shape: tuple[int, ...], num_clients: int = 5):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(60, *shape)), rng.integers(0, CLASSES, 60)
    owner = rng.integers(0, num_clients, 60) // rng.integers(1, 3)  # some clients hold nothing
    part = Partition([np.flatnonzero(owner == k) for k in range(num_clients)], y, CLASSES)
    return rng, x, y, part


@pytest.mark.parametrize("execution", ["clients", "pooled"])
@settings(max_examples=60)
@given(networks(), st.integers(0, 2**32))
def test_five_steps_equal_five_centralized_ones_at_every_cut(execution, drawn, seed) -> None:
    net, shape = drawn
    for cut in range(1, len(net.layers)):
        rng, x, y, part = setting(seed, shape)
        simulation = Simulation(net, cut, x, y, part, rng=rng, execution=execution, **SETTINGS)
        centralized = Centralized(net)
        for row in steps_for(part.sizes, rng, 5):
            loss = simulation.step(row)
            batch = simulation.last_batch
            assert batch.size == row.sum()
            assert loss == pytest.approx(centralized.step(x[batch], y[batch]), rel=1e-10)
        assert_equal(simulation.net, centralized.net)
        client_half, server_half = centralized.net.cut(cut)
        assert_equal(simulation.server_network, server_half)
        for half in simulation.client_networks:
            assert_equal(half, client_half)
            for name, value in simulation.client_networks[0].parameters().items():
                assert (half.parameters()[name] == value).all()


def test_the_invariant_against_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    _, x, y, part = setting(7, (8, 8, 2))
    net = cnn((8, 8, 2), CLASSES, rng=rng)
    parameters = {
        name: torch.tensor(value, requires_grad=True) for name, value in net.parameters().items()
    }

    def forward(images):
        pool, conv = torch.nn.functional.max_pool2d, torch.nn.functional.conv2d
        out = images.permute(0, 3, 1, 2)
        for i in ("0", "3"):
            weight = parameters[f"{i}.weight"].permute(3, 2, 0, 1)
            out = pool(torch.relu(conv(out, weight, parameters[f"{i}.bias"], padding=1)), 2)
        out = out.permute(0, 2, 3, 1).flatten(1)
        return out @ parameters["7.weight"] + parameters["7.bias"]

    optimizer = torch.optim.SGD(
        parameters.values(),
        lr=SETTINGS["learning_rate"],
        momentum=SETTINGS["momentum"],
        weight_decay=SETTINGS["weight_decay"],
    )
    simulation = Simulation(net, 3, x, y, part, rng=rng, **SETTINGS)
    for row in steps_for(part.sizes, rng, 5):
        loss = simulation.step(row)
        batch = simulation.last_batch
        optimizer.zero_grad()
        expected = torch.nn.functional.cross_entropy(
            forward(torch.tensor(x[batch])), torch.tensor(y[batch])
        )
        expected.backward()
        optimizer.step()
        assert loss == pytest.approx(expected.item(), rel=1e-10)
    for name, value in simulation.net.parameters().items():
        np.testing.assert_allclose(value, parameters[name].detach().numpy(), rtol=1e-10, atol=1e-12)


def test_plain_sgd_unless_said_otherwise(rng: np.random.Generator) -> None:
    """The server half: w ← w - learning_rate · g, in the second step too."""
    _, x, y, part = setting(3, (6,))
    simulation = Simulation(mlp([6, 5, CLASSES], rng=rng), 3, x, y, part, 0.1, rng=rng)
    for row in steps_for(part.sizes, rng, 2):
        before = {name: w.copy() for name, w in simulation.server_network.parameters().items()}
        simulation.step(row)
        for name, w in simulation.server_network.parameters().items():
            assert (w == before[name] - 0.1 * simulation.server.gradients[name]).all()


def test_the_order_of_clients_does_not_matter(rng: np.random.Generator) -> None:
    """Renumbering the clients permutes each batch; the step is the same to rounding."""
    _, x, y, part = setting(11, (6,), num_clients=4)
    net = mlp([6, 5, CLASSES], rng=rng)
    order = np.array([2, 0, 3, 1])
    whole = np.array([part.sizes])
    renumbered = Partition([part.indices[k] for k in order], y, CLASSES)
    one = Simulation(net, 3, x, y, part, rng=rng, **SETTINGS)
    two = Simulation(net, 3, x, y, renumbered, rng=rng, **SETTINGS)
    for _ in range(5):
        one.run_epoch(Schedule(whole))
        two.run_epoch(Schedule(whole[:, order]))
    assert_equal(one.net, two.net)


@pytest.mark.parametrize("execution", ["clients", "pooled"])
def test_an_epoch_uses_every_sample_once_from_its_own_client(execution, rng) -> None:
    _, x, y, part = setting(3, (6,))
    net = mlp([6, 5, CLASSES], rng=rng)
    simulation = Simulation(net, 3, x, y, part, rng=rng, execution=execution, **SETTINGS)
    orders = []
    for _ in range(2):
        schedule = ugs(part.sizes, 7, rng)
        simulation.start_epoch()
        batches = []
        for row in schedule.batch_sizes:
            simulation.step(row)
            batches.append(simulation.last_batch)
            owners = np.repeat(np.arange(part.num_clients), row)
            for sample, owner in zip(simulation.last_batch, owners, strict=True):
                assert sample in part.indices[owner]
        orders.append(np.concatenate(batches).tolist())
        assert sorted(orders[-1]) == list(range(60))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("execution", ["clients", "pooled"])
def test_an_epoch_record_counts_bytes_and_measures_deviation(execution, rng) -> None:
    _, x, y, part = setting(5, (6,))
    net = mlp([6, 5, CLASSES], rng=rng, dtype=np.float32)
    simulation = Simulation(net, 3, x, y, part, rng=rng, execution=execution, **SETTINGS)
    schedule = fls(part.sizes, 7)
    record = simulation.run_epoch(schedule)
    batch_sizes = schedule.batch_sizes.sum(axis=1)
    assert record.loss.shape == record.deviation.shape == (schedule.num_steps,)
    assert record.step_bytes_down.tolist() == (batch_sizes * 5 * 4).tolist()  # 5 float32 each
    assert record.step_bytes_up.tolist() == (batch_sizes * (5 * 4 + 8)).tolist()  # and a label
    assert (record.bytes_up, record.bytes_down) == (60 * 28, 60 * 20)
    counts = np.bincount(y[simulation.last_batch], minlength=CLASSES)
    expected = np.abs(counts / counts.sum() - np.bincount(y, minlength=CLASSES) / 60).sum()
    assert record.deviation[-1] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("execution", ["clients", "pooled"])
def test_float32_stays_float32(execution, rng) -> None:
    _, x, y, part = setting(5, (6,))
    net = mlp([6, 5, CLASSES], rng=rng, dtype=np.float32)
    simulation = Simulation(net, 3, x, y, part, rng=rng, execution=execution, **SETTINGS)
    simulation.run_epoch(ugs(part.sizes, 7, rng))
    assert {value.dtype for value in simulation.net.parameters().values()} == {np.dtype("f4")}
    smashed = simulation.clients[int(np.argmax(part.sizes))]
    simulation.start_epoch()
    assert smashed.forward(smashed.draw(np.array([2]))).activations.dtype == np.float32


def test_the_callers_network_and_arrays_are_not_touched(rng: np.random.Generator) -> None:
    _, x, y, part = setting(5, (6,))
    net = mlp([6, 5, CLASSES], rng=rng)
    before = {name: value.copy() for name, value in net.parameters().items()}
    x.setflags(write=False)
    y.setflags(write=False)
    simulation = Simulation(net, 3, x, y, part, rng=rng, **SETTINGS)
    simulation.run_epoch(ugs(part.sizes, 7, rng))
    assert all((net.parameters()[name] == value).all() for name, value in before.items())


def test_evaluate_counts_right_answers_in_slices(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2500, 6)), rng.integers(0, CLASSES, 2500)
    net = mlp([6, 5, CLASSES], rng=rng)
    simulation = Simulation(net, 3, x, y, iid(y, 4, rng), rng=rng, **SETTINGS)
    expected = np.mean(net.forward(x)[0].argmax(axis=1) == y)
    assert simulation.evaluate(x, y) == pytest.approx(expected, abs=1e-15)


def test_answers_to_other_images_are_refused(rng: np.random.Generator) -> None:
    _, x, y, part = setting(5, (6,))
    simulation = Simulation(mlp([6, 5, CLASSES], rng=rng), 3, x, y, part, rng=rng, **SETTINGS)
    with pytest.raises(ValueError, match=r"^y = .*: must be one label for each of the 3 images$"):
        simulation.evaluate(x[:3], y[:4])
    with pytest.raises(ValueError, match=r"^y = \[\]: must be one label for each of the 0 images$"):
        simulation.evaluate(x[:0], [])
    with pytest.raises(ValueError, match=r"^y = .*: must be 1-dimensional, of whole numbers"):
        simulation.evaluate(x[:3], [0.5, 1, 2])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.filterwarnings("error")
def test_images_that_are_not_finite_in_the_networks_dtype_are_not_evaluated(
    rng: np.random.Generator, bad: float
) -> None:
    _, x, y, part = setting(5, (6,))
    net = mlp([6, 5, CLASSES], rng=rng, dtype=np.float32)
    simulation = Simulation(net, 3, x, y, part, rng=rng, **SETTINGS)
    x = x.copy()
    x[7, 3] = bad
    with pytest.raises(ValueError, match=r"^x: must be finite, but holds NaN or infinite pixels$"):
        simulation.evaluate(x, y)


@pytest.mark.parametrize("execution", ["clients", "pooled"])
@pytest.mark.parametrize(
    "logits", [[np.inf, 0, 0], [np.inf, np.inf, 0], [-np.inf] * 3, [np.nan, 0, 0]]
)
@pytest.mark.filterwarnings("error")
def test_logits_that_are_not_finite_end_in_diverged_without_a_warning(
    rng: np.random.Generator, execution: str, logits: list[float]
) -> None:
    _, x, y, part = setting(5, (6,))
    net = mlp([6, 5, CLASSES], rng=rng)
    net.layers[-1].parameters["bias"][...] = logits
    simulation = Simulation(net, 3, x, y, part, 0.5, rng=rng, execution=execution)
    with pytest.raises(Diverged, match=r"^the loss is nan with learning_rate = 0\.5: must be sma"):
        simulation.step(part.sizes)
    with pytest.raises(Diverged, match=r"^the sum of all images' largest logits is (nan|-?inf) wi"):
        simulation.evaluate(x, y)


@pytest.mark.filterwarnings("error")
def test_weights_whose_products_overflow_end_in_diverged_without_a_warning(
    rng: np.random.Generator,
) -> None:
    _, x, y, part = setting(5, (6,))
    net = mlp([6, 5, CLASSES], rng=rng)
    for weights in net.parameters().values():
        weights *= 1e200
    simulation = Simulation(net, 3, x, y, part, 0.5, rng=rng)
    with pytest.raises(Diverged, match="the loss is nan"):
        simulation.step(part.sizes)
    with pytest.raises(Diverged, match="largest logits is"):
        simulation.evaluate(x, y)


def test_images_have_the_networks_dtype_from_the_start(rng: np.random.Generator) -> None:
    """Cut before anything is computed: the images themselves cross the wire."""
    _, x, y, part = setting(5, (6,))
    net = mlp([6, 5, CLASSES], rng=rng, dtype=np.float32)
    simulation = Simulation(net, 1, x, y, part, rng=rng, **SETTINGS)
    simulation.step(part.sizes)
    assert simulation.last_bytes == (60 * (6 * 4 + 8), 60 * 6 * 4)


def test_who_lacks_samples_is_named_and_not_who_has_just_enough(rng: np.random.Generator) -> None:
    _, x, y, part = setting(5, (6,))
    simulation = Simulation(mlp([6, 5, CLASSES], rng=rng), 3, x, y, part, rng=rng, **SETTINGS)
    k = int(np.flatnonzero(part.sizes)[-1])
    n = int(part.sizes[k])
    sentence = rf"^batch_sizes\[{k}\] = {n + 1}: must be at most {n}, what client {k} has left$"
    with pytest.raises(ValueError, match=sentence):
        simulation.step(part.sizes + (np.arange(5) == k))


def test_a_step_that_cannot_be_taken_changes_nothing(rng: np.random.Generator) -> None:
    _, x, y, part = setting(5, (6,))
    net = mlp([6, 5, CLASSES], rng=rng)
    simulation = Simulation(net, 3, x, y, part, rng=rng, **SETTINGS)
    for bad in [part.sizes + 1, np.zeros(5, int), part.sizes[:-1], -part.sizes, part.sizes / 2]:
        with pytest.raises(ValueError, match=r"batch_sizes.* = .*must be"):
            simulation.step(bad)
    by_class = part.class_counts
    for bad in [by_class + 1, 0 * by_class, by_class[:-1], by_class - 9, [[1], [1, 2]]]:
        with pytest.raises(ValueError, match=r"batch_sizes.* = .*must be"):
            simulation.step(bad)
    simulation.step(part.sizes)
    assert sorted(simulation.last_batch) == list(range(60))
    with pytest.raises(ValueError, match=r"batch_sizes\[0\] = 1: must be at most 0, what client 0"):
        simulation.step(np.minimum(part.sizes, 1))
    simulation.start_epoch()
    too_many = np.array([[0, 0, 0], [0, 61, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"batch_sizes\[1, 1\] = 61: must be at most"):
        simulation.step(too_many)


@pytest.mark.parametrize("execution", ["clients", "pooled"])
@pytest.mark.filterwarnings("error")
def test_a_learning_rate_that_diverges_stops_with_the_step_and_the_loss(execution, rng) -> None:
    _, x, y, part = setting(5, (6,))
    net = mlp([6, 5, CLASSES], rng=rng)
    simulation = Simulation(net, 3, x, y, part, 1e200, rng=rng, execution=execution)
    with pytest.raises(Diverged, match=r"step [1-9]\d*: the loss is (nan|inf) with learning_rate"):
        simulation.run_epoch(ugs(part.sizes, 7, rng))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cut": 0}, "cut = 0: must be"),
        ({"cut": 4}, "cut = 4: must be"),
        ({"y": np.arange(59) % 3}, "^y = .*: must be one label for each of the 60 images$"),
        ({"y": np.arange(60) % 4}, "^y = .*: must be labels from 0 to 2$"),
        ({"y": -np.ones(60, int)}, "y = .*must be 1-dimensional"),
        ({"y": np.full(60, 0.5)}, "y = .*must be 1-dimensional"),
        (
            {"x": np.full((60, 6), np.nan)},
            "^x: must be finite, but holds NaN or infinite pixels$",
        ),
        ({"learning_rate": 0.0}, "learning_rate = 0.0: must be"),
        ({"learning_rate": np.nan}, "learning_rate = nan: must be"),
        ({"momentum": 1.5}, "momentum = 1.5: must be"),
        ({"weight_decay": -1.0}, "weight_decay = -1.0: must be"),
        ({"execution": "pool"}, "execution = 'pool': must be one of clients, pooled"),
        (
            {"partition": Partition([np.arange(9)], np.zeros(9, int))},
            "^partition = .*: must hold the classes of the 60 labels$",
        ),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(change, sentence, rng) -> None:
    _, x, y, part = setting(5, (6,))
    arguments = {"net": mlp([6, 5, 3], rng=rng), "cut": 3, "x": x, "y": y, "partition": part}
    with pytest.raises(ValueError, match=sentence):
        Simulation(**(arguments | SETTINGS | change), rng=rng)


def test_a_schedule_of_other_clients_is_refused(rng: np.random.Generator) -> None:
    _, x, y, part = setting(5, (6,))
    simulation = Simulation(mlp([6, 5, 3], rng=rng), 3, x, y, part, rng=rng, **SETTINGS)
    with pytest.raises(ValueError, match=r"schedule.sizes = .*must be one number for each of 5"):
        simulation.run_epoch(ugs([60], 7, rng))
    with pytest.raises(ValueError, match=r"schedule.sizes\[0\] = .*must be at most"):
        simulation.run_epoch(ugs(part.sizes + 1, 7, rng))
    other_classes = targets(part.class_counts[:, ::-1], 7, rng, assign="random")
    with pytest.raises(ValueError, match=r"schedule.sizes\[\d, \d\] = .*must be at most"):
        simulation.run_epoch(other_classes)


@pytest.mark.parametrize("execution", ["clients", "pooled"])
def test_prescribed_classes_come_from_their_clients_and_no_sample_comes_twice(
    execution, rng
) -> None:
    _, x, y, part = setting(3, (6,))
    net = mlp([6, 5, CLASSES], rng=rng)
    simulation = Simulation(net, 3, x, y, part, rng=rng, execution=execution, **SETTINGS)
    centralized, orders = Centralized(net), []
    for _ in range(2):
        schedule = targets(part.class_counts, 7, rng, delays=[5, 1, 4, 2, 3])
        simulation.start_epoch()
        order = []
        for local in schedule.local_class_counts:
            loss = simulation.step(local)
            batch = simulation.last_batch
            order += batch.tolist()
            assert loss == pytest.approx(centralized.step(x[batch], y[batch]), rel=1e-10)
            found = np.zeros_like(local)
            owners = [int(np.argmax([i in row for row in part.indices])) for i in batch]
            np.add.at(found, (owners, y[batch]), 1)
            assert (found == local).all()
        assert sorted(order) == list(range(60))
        orders.append(order)
    assert orders[0] != orders[1]
    record = simulation.run_epoch(schedule)
    expected = expected_deviation(schedule, part.class_counts)
    np.testing.assert_allclose(record.deviation, expected, atol=1e-15)


def test_draws_with_and_without_classes_mix_in_one_epoch(
    rng: np.random.Generator, alpha: float
) -> None:
    """One of two samples of class 0, then any one, then the rest, at one client of three samples.

    Each sample of class 0 comes first with probability 1 / 2, and then that of class 1 comes
    second with probability 1 / 2, all of them independent. False alarm: 1e-8. 3,000 epochs show a
    probability of 1 / 4 that is off by 0.08.
    """
    y = np.array([0, 1, 0])
    part = Partition([np.arange(3)], y)
    net = mlp([2, 2], rng=rng)
    client = Simulation(net, 1, np.zeros((3, 2)), y, part, 0.1, rng=rng).clients[0]
    seen: Counter[object] = Counter()
    for _ in range(3_000):
        client.start_epoch()
        draws = [client.draw(np.array(counts)) for counts in ([1, 0], [1], [1])]
        seen[tuple(np.concatenate(draws).tolist())] += 1
    law = {(0, 1, 2): 0.25, (0, 2, 1): 0.25, (2, 1, 0): 0.25, (2, 0, 1): 0.25}
    assert smallest_shift(0.25, 3_000, 4, alpha) < 0.08
    assert not departures(seen, law, alpha)
    with pytest.raises(
        ValueError, match=r"batch_sizes\[0\] = \[1\]: must be at most what the client"
    ):
        client.draw(np.array([1]))


def test_a_schedule_with_an_empty_step_is_refused_before_the_first(rng) -> None:
    _, x, y, part = setting(5, (6,))
    simulation = Simulation(mlp([6, 5, 3], rng=rng), 3, x, y, part, rng=rng, **SETTINGS)
    before = {name: value.copy() for name, value in simulation.net.parameters().items()}
    with pytest.raises(ValueError, match=r"^schedule.batch_sizes\[1\].sum\(\) = 0: must be 1"):
        simulation.run_epoch(Schedule(np.array([part.sizes, 0 * part.sizes])))
    with pytest.raises(ValueError, match=r"^schedule.sizes = .*, not all 0$"):
        simulation.run_epoch(Schedule(np.zeros((0, 5), int)))
    assert all((simulation.net.parameters()[name] == before[name]).all() for name in before)


def test_a_network_without_parameters_runs(rng: np.random.Generator) -> None:
    _, x, y, part = setting(5, (3,))
    simulation = Simulation(Network([Flatten(), ReLU()]), 1, x, y, part, rng=rng, **SETTINGS)
    simulation.run_epoch(ugs(part.sizes, 7, rng))
