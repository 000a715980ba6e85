"""Every byte that crosses the wire, from the schedule alone (docs/method.md, section 1.2)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pslref import check
from pslref.check import IntArray
from pslref.nn import Network
from pslref.sampling import Schedule
from pslref.split.messages import ClientHalf


class Traffic(NamedTuple):
    """The bytes of each kind, (T,) for the steps of an epoch, or of one step."""

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


def traffic(schedule: Schedule, net: Network, cut: int, input_shape: Sequence[int]) -> Traffic:
    """What the steps of a schedule send, byte for byte. [derived] (method.md 1.2)

    With B_t samples and P_t participants, A bytes of one sample's activations at the cut, L of its
    label and w_c of the client half: B_t A and B_t L up, B_t A down, and P_t w_c each way.

    Args:
        schedule: who takes part in which step.
        net: the uncut network.
        cut: the number of layers in the client half.
        input_shape: of one sample, such as (28, 28, 1).
    """
    check.kind("schedule", schedule, Schedule)
    check.kind("net", net, Network)
    half, _ = net.cut(cut)
    shape = check.integers("input_shape", input_shape, ndim=1, low=1).tolist()
    dtype = next((w.dtype for w in net.parameters().values()), np.dtype(np.float64))
    activations, _ = half.forward(np.zeros((1, *shape), dtype))
    of_half = ClientHalf(half.parameters()).nbytes
    samples = schedule.batch_sizes.sum(axis=1)
    participants = (schedule.batch_sizes > 0).sum(axis=1)
    at_cut, of_labels = samples * activations.nbytes, samples * np.dtype(np.int64).itemsize
    return Traffic(at_cut, of_labels, at_cut, participants * of_half, participants * of_half)
