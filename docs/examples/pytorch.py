"""pslref's samplers in PyTorch: split between clients and a server, and pooled by a DataLoader.

`python docs/examples/pytorch.py` needs torch beside pslref, and takes some seconds.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pslref import data, partition, sampling, split

DIGITS = data.load("digits", dtype=np.float32)
X, Y = torch.tensor(DIGITS.x_train), torch.tensor(DIGITS.y_train)
HELD = partition.dirichlet(DIGITS.y_train, 16, alpha=0.3, rng=np.random.default_rng(0))
DELAYS = split.straggler_delays(16, rng=np.random.default_rng(1))


def epoch(sampler: str, rng: np.random.Generator) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Who takes part in each step, with which samples: a new schedule, and a new shuffle."""
    if sampler == "ugs":
        schedule = sampling.ugs(HELD.sizes, batch_size=64, rng=rng)
    else:
        schedule = sampling.targets(HELD.class_counts, batch_size=64, rng=rng, delays=DELAYS)
    return split.local_batches(schedule, HELD, rng)


def halves() -> tuple[nn.Sequential, nn.Module]:
    """The network, cut."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU()), nn.Linear(32, 10)


def train_split(sampler: str, epochs: int = 5) -> nn.Sequential:
    """All clients' halves are equal, so one module stands for all of them."""
    rng, (client, server) = np.random.default_rng(2), halves()
    optimizer = torch.optim.SGD([*client.parameters(), *server.parameters()], lr=0.1)
    for step in (step for _ in range(epochs) for step in epoch(sampler, rng)):
        optimizer.zero_grad()
        at_clients = [client(X[indices]) for _, indices in step]
        sent = [smashed.detach().requires_grad_() for smashed in at_clients]  # with its labels
        labels = torch.cat([Y[indices] for _, indices in step])
        loss = nn.functional.cross_entropy(server(torch.cat(sent)), labels)  # mean over all
        loss.backward()  # the server's half, and back to each client its rows at the cut
        for smashed, received in zip(at_clients, sent, strict=True):
            smashed.backward(received.grad)  # adds to what the clients before it added: the sum
        optimizer.step()  # both halves, so every client's
    return nn.Sequential(client, server)


class Batches:
    """Batch sampler of a DataLoader: the same steps without the clients."""

    def __init__(self, sampler: str) -> None:
        self.sampler, self.rng = sampler, np.random.default_rng(2)

    def __iter__(self) -> Iterator[list[int]]:
        for step in epoch(self.sampler, self.rng):
            yield np.concatenate([indices for _, indices in step]).tolist()


def train_pooled(sampler: str, epochs: int = 5) -> nn.Sequential:
    """On the same batches."""
    net = nn.Sequential(*halves())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    batches = DataLoader(TensorDataset(X, Y), batch_sampler=Batches(sampler))
    for x, y in (batch for _ in range(epochs) for batch in batches):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net


if __name__ == "__main__":
    for name, train in [("split", train_split), ("pooled", train_pooled)]:
        for sampler in ("ugs", "targets"):
            right = train(sampler)(torch.tensor(DIGITS.x_test)).argmax(1).numpy() == DIGITS.y_test
            print(f"{name:6} {sampler:8} test accuracy {right.mean():.3f}")
