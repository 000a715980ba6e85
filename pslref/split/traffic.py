"""Every byte that crosses the wire, from the schedule alone (docs/method.md, section 1.1)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pslref import check
from pslref.check import Array, IntArray
from pslref.nn import Network
from pslref.sampling import Schedule, Steps
from pslref.split.messages import ClientHalf

LABEL = np.dtype(np.int64).itemsize  # bytes


class Traffic(NamedTuple):
    """The bytes of each kind, (T,) of an epoch or of a step: foretold below, measured in `step`."""

    activations: IntArray  # up, in `SmashedBatch`
    labels: IntArray  # up, with them
    cut_gradients: IntArray  # down, in `CutGradient`
    client_gradients: IntArray  # up, in `ClientGradient`
    client_halves: IntArray  # down, in `ClientHalf`, to each participant before its forward pass

    @property
    def up(self) -> int:
        """Clients to server, over all steps."""
        return int(np.sum(self.activations) + np.sum(self.labels) + np.sum(self.client_gradients))

    @property
    def down(self) -> int:
        """Server to clients, over all steps."""
        return int(np.sum(self.cut_gradients) + np.sum(self.client_halves))

    @property
    def total(self) -> int:
        """All of it."""
        return self.up + self.down


def traffic(
    schedule: Schedule | Steps, net: Network, cut: int, input_shape: Sequence[int]
) -> Traffic:
    """What the steps of a schedule send, byte for byte. [derived] (method.md 1.1)

    With B_t samples and P_t participants, A bytes of one sample's activations at the cut, L of its
    label and w_c of the client half: B_t A and B_t L up, B_t A down, and P_t w_c each way.

    Args:
        schedule: who takes part in which step; `Steps` are used up by it.
        net: the uncut network.
        cut: the number of layers in the client half.
        input_shape: of one sample, such as (28, 28, 1).
    """
    if not isinstance(schedule, Steps):
        check.kind("schedule", schedule, Schedule)
    half, _, activations = halves(net, cut, input_shape)
    of_half = ClientHalf(half.parameters()).nbytes
    steps = [(counts.sum(), len(clients)) for clients, counts in schedule.steps()]
    samples, participants = np.array(steps, np.int64).reshape(-1, 2).T
    at_cut, of_labels = samples * activations.nbytes, samples * LABEL
    return Traffic(at_cut, of_labels, at_cut, participants * of_half, participants * of_half)


def halves(net: Network, cut: int, input_shape: Sequence[int]) -> tuple[Network, Network, Array]:
    """Both halves, and the activations at the cut of one sample of zeros, (1, ...)."""
    check.kind("net", net, Network)
    client, server = net.cut(cut)
    shape = check.integers("input_shape", input_shape, ndim=1, low=1).tolist()
    if not shape:
        raise check.wrong("input_shape", input_shape, "must have at least one axis")
    dtype = next((w.dtype for w in net.parameters().values()), np.dtype(np.float64))
    return client, server, client.forward(np.zeros((1, *shape), dtype))[0]
