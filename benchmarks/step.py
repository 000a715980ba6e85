"""One step of training, against PyTorch and the machine's limit: python -m benchmarks.step."""

from collections.abc import Callable, Iterator, Sequence
from time import process_time

import numpy as np
import torch

from benchmarks import report
from benchmarks.peers import ClientModules, Fused
from pslref import nn, partition, sampling
from pslref.check import Array
from pslref.nn import Conv2d, Layer, Linear, Network, Residual
from pslref.split import Epoch, Simulation

BATCH_SIZE = 128
LEARNING_RATE = 0.05
CUTS = {"mlp": 3, "mlp of 2048": 3, "cnn": 3, "resnet": 5}  # a hidden layer, a pool, a stage
SHAPE, CLASSES = (28, 28, 1), 10
PRODUCT = np.ones((1024, 1024), np.float32)  # times itself: how fast the machine multiplies
PEERS = ("K modules", "K modules, in place", "fused", "fused, channels last")

Contestants = dict[str, Callable[[int], float]]  # by name: takes step t, returns its loss
Times = dict[str, list[float]]  # by name: seconds a step, in each round


def network(model: str, rng: np.random.Generator) -> Network:
    """The MLP 784-256-128-10 or a wide one, the CNN, or the ResNet with stages of 16 to 64."""
    if model.startswith("mlp"):
        hidden = [256, 128] if model == "mlp" else [2048, 2048]
        return nn.mlp([784, *hidden, CLASSES], rng=rng, dtype="float32")
    if model == "resnet":
        return nn.resnet(SHAPE, CLASSES, rng=rng, width=16, dtype="float32")
    return nn.cnn(SHAPE, CLASSES, rng=rng, dtype="float32")


def contestants(
    net: Network, cut: int, num_clients: int, num_steps: int, batch_size: int = BATCH_SIZE
) -> Contestants:
    """All start from the weights of `net` and see the same batches of a severe split."""
    rng = np.random.default_rng(0)
    num_samples = num_steps * batch_size
    x = rng.standard_normal((num_samples, *SHAPE), np.float32)
    y = rng.integers(0, CLASSES, num_samples)
    part = partition.extended_dirichlet(y, num_clients, classes_per_client=2, alpha=3.0, rng=rng)
    schedule = sampling.ugs(part.sizes, batch_size, rng)

    def simulation(execution: str) -> Simulation:
        same = np.random.default_rng(1)
        return Simulation(net, cut, x, y, part, LEARNING_RATE, rng=same, execution=execution)

    def walking(execution: str) -> Callable[[int], float]:
        walked = simulation(execution)
        epoch = Epoch(walked)
        steps = epoch.walk(lambda _: schedule)

        def step(t: int) -> float:
            next(steps)
            return epoch.rows[t][1]

        return step

    drawing = simulation("clients")
    drawing.start_epoch()  # as a walk does
    batches = [
        [(int(k), torch.tensor(drawing.clients[k].draw(row[[k]]))) for k in np.flatnonzero(row)]
        for row in schedule.batch_sizes
    ]
    whole = [torch.cat([samples for _, samples in batch]) for batch in batches]
    images, labels = torch.tensor(x.transpose(0, 3, 1, 2).copy()), torch.tensor(y)
    modules, in_place = (
        ClientModules(net, cut, num_clients, images, labels, LEARNING_RATE, in_place)
        for in_place in (False, True)
    )
    fused = Fused(net, images, labels, LEARNING_RATE, torch.contiguous_format)
    channels_last = Fused(net, images, labels, LEARNING_RATE, torch.channels_last)
    return {
        "clients": walking("clients"),
        "pooled": walking("pooled"),
        "K modules": lambda t: modules.step(batches[t]),
        "K modules, in place": lambda t: in_place.step(batches[t]),
        "fused": lambda t: fused.step(whole[t]),
        "fused, channels last": lambda t: channels_last.step(whole[t]),
    }


def race(steps: Contestants, rounds: int, steps_per_round: int) -> Times:
    """Time all contestants in each round, one after the other; their losses must agree.

    Times are of the processor, so that other programs disturb them little. "sgemm" is the time of
    one float32 product of two matrices of 1024 rows. A round to warm up is not counted.
    """
    times: Times = {name: [] for name in [*steps, "sgemm"]}
    for first in range(0, (rounds + 1) * steps_per_round, steps_per_round):
        losses = []
        for name, step in steps.items():
            start = process_time()
            losses.append([step(t) for t in range(first, first + steps_per_round)])
            times[name].append((process_time() - start) / steps_per_round)
        np.testing.assert_allclose(losses, [losses[0]] * len(losses), rtol=1e-3)
        start = process_time()
        PRODUCT @ PRODUCT
        times["sgemm"].append(process_time() - start)
    return {name: seconds[1:] for name, seconds in times.items()}


def flops(net: Network) -> int:
    """Of the matrix products of one step: y, dW and dx, but for the dx of the first layer."""
    first, *others = _multiplied(net.layers, np.zeros((1, *SHAPE), np.float32))
    return BATCH_SIZE * 2 * (2 * first + 3 * sum(others))


def _multiplied(layers: Sequence[Layer], x: Array) -> Iterator[int]:
    """For each layer that multiplies, how many numbers, forward, for one sample."""
    for layer in layers:
        y, _ = layer.forward(x)
        if isinstance(layer, Residual):
            yield from _multiplied(layer.branch.layers, x)
            yield from _multiplied(layer.shortcut.layers, x)
        elif isinstance(layer, Linear | Conv2d):
            yield layer.parameters["weight"].size * y[0, ..., 0].size
        x = y


def ratio(times: Times, one: str, other: str) -> str:
    """The median over the rounds of one's time in units of the other's, and the middle half."""
    low, median, high = np.percentile(np.divide(times[one], times[other]), [25, 50, 75])
    return f"{median:.2f} ({low:.2f}–{high:.2f})"


def lines(
    models: tuple[str, ...] = ("mlp", "cnn", "resnet"),
    clients: tuple[int, ...] = (16, 64, 128),
    rounds: int = 15,
    steps_per_round: int = 4,
) -> Iterator[list[str]]:
    """The table, line by line."""
    others = [*PEERS, "limit"]
    yield ["model", "K", "execution", "ms a step", *(f"of {other}" for other in others)]
    for model in models:
        for num_clients in clients:
            net = network(model, np.random.default_rng(0))
            steps = contestants(net, CUTS[model], num_clients, (rounds + 1) * steps_per_round)
            times = race(steps, rounds, steps_per_round)
            share = flops(net) / (2 * len(PRODUCT) ** 3)
            times["limit"] = [share * seconds for seconds in times["sgemm"]]
            for execution in ("clients", "pooled"):
                milliseconds = f"{1e3 * np.median(times[execution]):.2f}"
                ratios = [ratio(times, execution, other) for other in others]
                yield [model, str(num_clients), execution, milliseconds, *ratios]


if __name__ == "__main__":
    machine = report.machine()
    report.write("step", f"{machine}\n\n{report.table(lines())}")
