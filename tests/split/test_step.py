"""The invariant: a step of parallel split learning is one centralized step on the pooled batch."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref.nn import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Layer,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    Residual,
    cnn,
    resnet,
)
from pslref.partition import Partition, iid
from pslref.sampling import Schedule, fls, fpls, lds, slowest_first, targets, ugs
from pslref.split import Aborted, Diverged, Simulation, SmashedBatch
from pslref.split.server import Server
from tests.small import (
    CLASSES,
    SGD,
    SHAPE,
    Centralized,
    assert_equal,
    every_layer,
    setting,
    small,
    weights_of,
)

BOTH = ["clients", "pooled"]


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
            stride = draw(st.integers(1, 2))
            layers.append(Conv2d(channels, 4, 2, stride=stride, padding=1, rng=rng))
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


@st.composite
def residual_networks(draw: st.DrawFn) -> tuple[Network, tuple[int, int, int]]:
    """GroupNorm, with or without residual blocks; then BatchNorm, alone or in blocks; and logits.

    The last images have two pixels or more, so that a batch of one has a variance.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(3, 6)), draw(st.integers(3, 6)), draw(st.integers(1, 2)))
    width, blocks = draw(st.sampled_from([2, 4])), draw(st.sampled_from([(1, 1), (2, 1), (1, 2)]))
    layers = resnet(shape, CLASSES, rng, blocks, width).layers
    channels = layers[-5].parameters["branch.4.bias"].size
    momentum, place = draw(st.sampled_from([0.1, 1.0])), draw(st.sampled_from([-3, -4]))
    layers[place:place] = [
        BatchNorm2d(channels, momentum=momentum),
        Conv2d(channels, channels, 1, rng=rng),
    ]
    for layer in layers:
        for array in layer.parameters.values():
            array += 0.3 * rng.standard_normal(array.shape)
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


@pytest.mark.parametrize("execution", BOTH)
@settings(max_examples=60)
@given(networks(), st.integers(0, 2**32))
def test_five_steps_equal_five_centralized_ones_at_every_cut(execution, drawn, seed) -> None:
    net, shape = drawn
    for cut in range(1, len(net.layers)):
        assert_five_steps_equal_centralized_ones(net, net, shape, cut, execution, seed)


def has_norm(layers) -> bool:
    ways = [way for layer in layers if isinstance(layer, Residual) for way in vars(layer).values()]
    within = [way.layers for way in ways if isinstance(way, Network)]
    norms = (GroupNorm, BatchNorm2d)
    return any(isinstance(layer, norms) for layer in layers) or any(map(has_norm, within))


def assert_five_steps_equal_centralized_ones(net, whole, shape, cut, execution, seed) -> None:
    """Of split learning with `net`, and of SGD on `whole`."""
    rng = np.random.default_rng(seed)
    x, y, part = setting(rng, shape)
    simulation = Simulation(net, cut, x, y, part, rng=rng, execution=execution, **SGD)
    centralized = Centralized(whole)
    for row in steps_for(part.sizes, rng, 5):
        loss = simulation.step(row)
        batch = simulation.last_batch
        assert batch.size == row.sum()
        assert loss == pytest.approx(centralized.step(x[batch], y[batch]), rel=1e-10)
    # A bias before a norm may have gradient 0: what it holds is the rounding of larger numbers.
    least = 1e-3 if has_norm(net.layers) else 1e-6
    assert_equal(simulation.net.parameters(), centralized.net.parameters(), least)
    assert_equal(simulation.net.statistics(), centralized.net.statistics())
    assert simulation.evaluate(x, y) == np.mean(centralized.net.evaluate(x).argmax(axis=1) == y)
    client_half, server_half = centralized.net.cut(cut)
    assert_equal(simulation.server_network.parameters(), server_half.parameters(), least)
    for half in simulation.client_networks:
        assert_equal(half.parameters(), client_half.parameters(), least)
        for name, value in simulation.client_networks[0].parameters().items():
            assert (half.parameters()[name] == value).all()


@pytest.mark.parametrize("execution", BOTH)
@settings(max_examples=15)
@given(residual_networks(), st.integers(0, 2**32))
def test_so_do_steps_with_batch_norm_in_the_server_half(execution, drawn, seed) -> None:
    """Running statistics included, and residual blocks in both halves: at every cut there is."""
    net, shape = drawn
    first = next(i for i, layer in enumerate(net.layers) if layer.statistics)
    for cut in range(1, first + 1):
        assert_five_steps_equal_centralized_ones(net, net, shape, cut, execution, seed)
    for cut in range(first + 1, len(net.layers)):
        with pytest.raises(ValueError, match=f"^cut = {cut}: must be at most {first}: BatchNorm"):
            net.cut(cut)


class RunningInTraining(BatchNorm2d):
    """Takes the running statistics where the batch's are due."""

    def output(self, x):
        _, (_, _, *batchs) = super().output(x)
        running = (s[:, np.newaxis] for s in self.statistics.values())
        y, (z, scale, *_) = self._normalized(x, *running)
        return y, (z, scale, *batchs)


class BiasedVariance(BatchNorm2d):
    """Takes the population variance into the running one."""

    def commit(self, cache):
        z, scale, mean, variance = cache
        count = z.size // z.shape[-1]
        super().commit((z, scale, mean, variance * ((count - 1) / count)))


class BranchAlone(Residual):
    """Loses the shortcut."""

    def output(self, x):
        y, cache = super().output(x)
        return y - self.shortcut.forward(x)[0], cache


def every(layers, kind: type[Layer], wrong: type[Layer]) -> None:
    """Make all layers of a kind, also within others, layers of a wrong kind."""
    for layer in layers:
        if isinstance(layer, Residual):
            every([*layer.branch.layers, *layer.shortcut.layers], kind, wrong)
        if isinstance(layer, kind):
            layer.__class__ = wrong


def once_per_client(server: Server, smashed: list[SmashedBatch]) -> object:
    for message in smashed:
        server.network.commit(server.network.forward(message.activations)[1])
    return taken(server, smashed)


taken = Server.step
WRONG = {
    "evaluation statistics": lambda net, _: every(net.layers, BatchNorm2d, RunningInTraining),
    "biased running variance": lambda net, _: every(net.layers, BatchNorm2d, BiasedVariance),
    "no shortcut": lambda net, _: every(net.layers, Residual, BranchAlone),
    "last ReLU of a block lost": lambda net, _: net.layers.__setitem__(4, MaxPool2d(1)),
    "once per client": lambda _, patch: patch.setattr(Server, "step", once_per_client),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_they_do_not_in_a_wrong_version(wrong, rng, monkeypatch) -> None:
    right = resnet(SHAPE, CLASSES, rng, (1, 1), 4)
    assert_five_steps_equal_centralized_ones(right, right, SHAPE, 5, "clients", 0)
    wrong(net := right.copy(), monkeypatch)
    with pytest.raises(AssertionError):
        assert_five_steps_equal_centralized_ones(net, right, SHAPE, 5, "clients", 0)


@pytest.mark.parametrize("execution", BOTH)
def test_a_residual_network_equals_pytorchs(execution: str, rng: np.random.Generator) -> None:
    """Weights, running statistics and what they say of other images."""
    torch = pytest.importorskip("torch")
    from benchmarks.peers import modules

    x, y, part = setting(rng, SHAPE)
    net = resnet(SHAPE, CLASSES, rng, (1, 2, 1), 4)
    theirs = torch.nn.Sequential(*modules(net))
    images, labels = torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(y)
    rate, *others = SGD.values()
    optimizer = torch.optim.SGD(theirs.parameters(), rate, *others[:1], weight_decay=others[1])
    simulation = Simulation(net, 5, x, y, part, rng=rng, execution=execution, **SGD)
    for row in steps_for(part.sizes, rng, 5):
        loss = simulation.step(row)
        batch = simulation.last_batch
        optimizer.zero_grad()
        expected = torch.nn.functional.cross_entropy(theirs(images[batch]), labels[batch])
        expected.backward()
        optimizer.step()
        assert loss == pytest.approx(expected.item(), rel=1e-10)
    found = theirs.state_dict()
    for ours in (simulation.net.parameters(), simulation.net.statistics()):
        for name, array in ours.items():
            value = found[name].numpy()
            value = value.transpose({4: (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim, (0,)))
            np.testing.assert_allclose(array, value, rtol=1e-10, atol=1e-12)
    logits = theirs.eval()(images).detach().numpy()
    np.testing.assert_allclose(simulation.net.evaluate(x), logits, rtol=1e-10, atol=1e-12)


def test_the_invariant_against_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x, y, part = setting(rng, (8, 8, 2))
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
        lr=SGD["learning_rate"],
        momentum=SGD["momentum"],
        weight_decay=SGD["weight_decay"],
    )
    simulation = Simulation(net, 3, x, y, part, rng=rng, **SGD)
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


def test_the_order_of_clients_does_not_matter(rng: np.random.Generator) -> None:
    """Renumbering the clients permutes each batch; the step is the same to rounding."""
    x, y, part = setting(rng, num_clients=4)
    order = np.array([2, 0, 3, 1])
    renumbered = Partition([part.indices[k] for k in order], y, CLASSES)
    one = small(rng, x=x, y=y, partition=part)
    two = small(rng, net=one.net, x=x, y=y, partition=renumbered)
    for _ in range(5):
        one.run_epoch(Schedule([part.sizes]))
        two.run_epoch(Schedule([part.sizes[order]]))
    assert_equal(one.net.parameters(), two.net.parameters())


@pytest.mark.parametrize("execution", BOTH)
def test_prescribed_classes_come_from_their_clients_and_no_sample_comes_twice(
    execution, rng
) -> None:
    x, y, part = setting(rng)
    simulation = small(rng, x=x, y=y, partition=part, execution=execution)
    centralized, orders = Centralized(simulation.net), []
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


# --- what is not committed


@pytest.mark.parametrize("execution", BOTH)
@pytest.mark.parametrize("lost", [[1], [0, 1], [1, 2]])
def test_a_step_that_loses_a_participant_is_not_committed(execution, lost, rng) -> None:
    simulation = small(rng, num_clients=3, execution=execution)
    simulation.step([2, 1, 0])
    before, last = weights_of(simulation), simulation.last_batch
    left = [client.left.tolist() for client in simulation.clients]
    named = [k for k in lost if k != 2]
    with pytest.raises(Aborted, match=rf"^the gradients of clients \{named} never arrived$"):
        simulation.step([3, 1, 0], lost)
    assert weights_of(simulation) == before
    assert [client.left.tolist() for client in simulation.clients] == left
    assert simulation.last_batch is last
    simulation.step([3, 1, 0], lost=[2])  # who brings nothing may be lost
    assert weights_of(simulation) != before
    with pytest.raises(ValueError, match=r"lost client = 3: must be .* from 0 to 2"):
        simulation.step([1, 0, 0], lost=[3])


NOT_FINITE = [[np.inf, 0, 0], [np.inf, np.inf, 0], [-np.inf] * 3, [np.nan, 0, 0], "large weights"]


@pytest.mark.parametrize("execution", BOTH)
@pytest.mark.parametrize("logits", NOT_FINITE)
@pytest.mark.filterwarnings("error")
def test_logits_that_are_not_finite_end_in_diverged_without_a_warning(
    rng: np.random.Generator, execution: str, logits: list[float] | str
) -> None:
    simulation = small(rng, learning_rate=0.5, execution=execution)
    if logits == "large weights":  # whose products overflow
        for weights in simulation.net.parameters().values():
            weights *= 1e200
    else:
        simulation.net.layers[-1].parameters["bias"][...] = logits
    left = [client.left.tolist() for client in simulation.clients]
    with pytest.raises(Diverged, match=r"^the loss is nan with learning_rate = 0\.5: must be sma"):
        simulation.step(simulation.unused)
    assert [client.left.tolist() for client in simulation.clients] == left
    with pytest.raises(Diverged, match=r"^the sum of all images' largest logits is (nan|-?inf) wi"):
        simulation.evaluate(simulation.x, simulation.y)


def test_who_lacks_samples_is_named_and_nothing_has_happened(rng: np.random.Generator) -> None:
    """And not who has just enough."""
    simulation = small(rng)
    by_class = simulation.unused
    sizes = by_class.sum(axis=1)
    k = int(np.flatnonzero(sizes)[-1])
    m = int(np.argmax(by_class[k]))
    for counts, place, has in [(sizes, [k], sizes[k]), (by_class, [k, m], by_class[k, m])]:
        more = counts.copy()
        more[*place] += 1
        sentence = (
            f"batch_sizes{place} = {has + 1}: must be at most {has}, what client {k} has left"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            simulation.step(more)
    simulation.step(sizes)
    assert sorted(simulation.last_batch) == list(range(60))
    with pytest.raises(ValueError, match=r"batch_sizes\[0\] = 1: must be at most 0, what client 0"):
        simulation.step(np.minimum(sizes, 1))


# --- both executions take the same steps, in the precision that was asked for


def schedules(part: Partition, rng: np.random.Generator) -> dict[str, Schedule]:
    counts, delays = part.class_counts, np.array([3.0, 1, 4, 1, 5])
    return {
        "everybody, everything": Schedule(part.sizes[np.newaxis]),
        "one sample a step": ugs(part.sizes, 1, rng),
        "short last step": ugs(part.sizes, 7, rng),
        "even steps": ugs(part.sizes, 7, rng, remainder="even"),
        "fls": fls(part.sizes, 7),
        "fpls": fpls(part.sizes, 7),
        "lds": lds(counts, 7, rng, delays=delays, delta=1.0),
        "slowest first": slowest_first(part.sizes, delays, 7),
        "by class, at random": targets(counts, 7, rng, assign="random"),
        "by class, slowest first": targets(counts, 7, rng, delays=delays, draw="stratified"),
    }


@settings(max_examples=4)
@given(st.sampled_from(["every layer", "cnn"]), st.integers(0, 2**32))
def test_pooled_is_clients_at_every_cut_for_every_schedule(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, part = setting(rng, SHAPE)
    net = every_layer(rng) if kind == "every layer" else cnn(SHAPE, CLASSES, rng)
    same = {"net": net, "x": x, "y": y, "partition": part, "learning_rate": 0.005}
    for schedule in schedules(part, rng).values():
        same["cut"] = int(rng.integers(1, len(net.layers)))
        clients, pooled = (
            small(np.random.default_rng(seed), execution=execution, **same) for execution in BOTH
        )
        one, other = clients.run_epoch(schedule), pooled.run_epoch(schedule)
        assert (clients.last_batch == pooled.last_batch).all()
        assert other.loss == pytest.approx(one.loss, rel=1e-10)
        assert (one.deviation == other.deviation).all()
        assert np.array_equal(one.traffic, other.traffic)
        assert_equal(pooled.net.parameters(), clients.net.parameters())


def test_many_clients_and_single_samples(rng: np.random.Generator) -> None:
    """Outer products of single samples, which Linear takes by another way than batches."""
    x, y = rng.normal(size=(40, 72)), rng.integers(0, CLASSES, 40)
    net = Network([Flatten(), Linear(72, 4, rng), ReLU(), Linear(4, CLASSES, rng)])
    same = {"net": net, "cut": 2, "x": x, "y": y, "partition": iid(y, 40, rng)}
    clients, pooled = (
        small(np.random.default_rng(0), execution=execution, **same) for execution in BOTH
    )
    for simulation in (clients, pooled):
        simulation.run_epoch(Schedule(np.ones((1, 40), int)))
    assert_equal(pooled.net.parameters(), clients.net.parameters())


class Float32Only(np.ndarray):
    """An array that cannot become one of float64; nor can anything that is computed from it."""

    def __array_finalize__(self, source: object) -> None:
        assert self.ndim == 0 or self.dtype != np.float64

    def sum(self, **how: Any) -> np.ndarray:
        return self.view(np.ndarray).sum(**how)  # in float64, on purpose


@pytest.mark.parametrize("execution", BOTH)
def test_float32_meets_no_float64_on_the_way(execution: str, rng: np.random.Generator) -> None:
    x, y, part = setting(rng, SHAPE)
    net = every_layer(rng, "float32")
    simulation = small(rng, net=net, x=x, y=y, partition=part, execution=execution)
    for holder in (simulation, *simulation.clients):
        holder.x = holder.x.view(Float32Only)
    for half in (*simulation.client_networks, simulation.server_network):
        for layer in half.layers:
            if not isinstance(layer, GroupNorm):  # its mean and variance are float64
                watched = {name: w.view(Float32Only) for name, w in layer.parameters.items()}
                layer.parameters = watched
    simulation.run_epoch(ugs(part.sizes, 7, rng))
    simulation.run_epoch(targets(part.class_counts, 7, rng, assign="random"))
    velocity = simulation.server.optimizer.velocity.values()
    arrays = [*simulation.net.parameters().values(), *simulation.server.gradients.values()]
    assert {array.dtype for array in [*arrays, *velocity]} == {np.dtype(np.float32)}
