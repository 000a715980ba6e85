"""Known mistakes in steps of split learning, and other protocols: decisions made otherwise."""

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pslref import check
from pslref.oracle import altered, growth
from pslref.oracle.compare import flatten
from pslref.oracle.operation import Values
from pslref.oracle.training import CLIENT, SERVER, Array, split_steps
from pslref.oracle.vectors import Case

Decide = dict[str, Any]  # values of `training.Decisions`
PSL = "psl"
ALONE: Decide = {"own_gradient": True, "updated": np.flatnonzero}  # each participant by itself
OWN_SERVER: Decide = {**ALONE, "server": "copies"}
AVERAGED_SERVER: Decide = {**OWN_SERVER, "averaged": {SERVER: "step"}}


class Protocol(NamedTuple):
    """A protocol: its name in reports, where it is defined, what it does, and its decisions."""

    title: str
    source: str
    words: str
    decisions: Decide


PROTOCOLS = {
    PSL: Protocol("PSL", "arXiv 2407.15738", "all clients apply the sum of their gradients", {}),
    "aggregation-free": Protocol(
        "aggregation-free PSL", "Jeon and Kim, ICOIN 2020",
        "each participant applies its own gradient alone, not the sum", ALONE),
    "splitfed-v1": Protocol(
        "SplitFed v1", "arXiv 2004.12088 and its code",
        "a server half for each client; both halves are averaged after an epoch",
        {**OWN_SERVER, "averaged": {CLIENT: "epoch", SERVER: "epoch"}}),
    "splitfed-v2": Protocol(
        "SplitFed v2", "arXiv 2004.12088 and its code",
        "one server half takes the clients one after another; theirs are averaged after an epoch",
        {**ALONE, "server": "in turn", "averaged": {CLIENT: "epoch"}}),
    "splitfed-v1-batch": Protocol(
        "SplitFed v1 in rounds of a batch", "SFLV1 in the code of arXiv 2511.18611",
        "a server half for each client; both halves are averaged after a step",
        {**OWN_SERVER, "averaged": {CLIENT: "step", SERVER: "step"}}),
    "splitfed-v2-batch": Protocol(
        "SplitFed v2 in rounds of a batch", "SFLV2 in the code of arXiv 2511.18611",
        "one server half takes the clients one after another; theirs are averaged after a step",
        {**ALONE, "server": "in turn", "averaged": {CLIENT: "step"}}),
    "averaged-server": Protocol(
        "PSL with averaged servers", "PSL in the code of arXiv 2511.18611",
        "a server half for each client, averaged after a step; client halves never are",
        AVERAGED_SERVER),
    "mergesfl": Protocol(
        "MergeSFL", "arXiv 2311.13348",
        "clients get the gradient of their own mean loss; their halves are averaged after an epoch",
        {**ALONE, "own_means": True, "averaged": {CLIENT: "epoch"}}),
    "cyclesl": Protocol(
        "CycleSL", "CyclePSL of arXiv 2511.18611",
        "the server steps first; then each client gets the gradient of its own mean loss",
        {**ALONE, "own_means": True, "after_update": "forward"}),
    "sglr": Protocol(
        "SGLR", "SGLR in the code of arXiv 2511.18611",
        "as PSL with averaged servers, but half of the clients get one mean gradient",
        {**AVERAGED_SERVER, "common_gradient": True}),
}  # fmt: skip


def cases_of(protocol: str, cases: Iterable[Case]) -> list[Case]:
    """The test vectors of a protocol: with what it would give in the cases of `split_steps`.

    Those with momentum are left out: no definition says what becomes of velocities.
    """
    if check.one_of("protocol", protocol, PROTOCOLS) == PSL:
        return list(cases)

    def run(inputs: Values) -> Values:
        return split_steps(inputs, **PROTOCOLS[protocol].decisions)

    found, rng = [], np.random.Generator(np.random.PCG64(0))
    for case in cases:
        if case.op == "split_steps" and case.inputs["momentum"]:
            continue
        if case.op == "split_steps" and case.result != "invalid":
            expected = flatten(run(case.inputs))
            limits = growth.limits(case.inputs, expected, rng, run)
            case = case._replace(expected=expected, limits=limits)
        found.append(case)
    return found


def _only(place: int) -> Any:
    """The gradient of the participant in this place."""
    return lambda counts: np.arange(counts.size) == np.flatnonzero(counts)[place]


def _by_place(counts: Array) -> Array:
    """b_k / B_t of the client whose number is the participant's place."""
    share, present = np.zeros(counts.size), np.flatnonzero(counts)
    share[present] = counts[: present.size] / counts.sum()
    return share


def _means(counts: Array, inputs: Any) -> Array:
    """The weights of samples in the sum of the means of consecutive runs."""
    return np.repeat(1 / counts, counts)


def _micro_batches(size: int) -> Any:
    """Those in the mean of the means of runs of this size."""

    def scale(counts: Array, inputs: Any) -> Array:
        runs = np.diff([*range(0, counts.sum(), size), counts.sum()])
        return _means(runs, inputs) / runs.size

    return scale


AS_TEXT = partial(sorted, key=str)
ON = {"": (CLIENT, SERVER), " on the client half": (CLIENT,), " on the server half": (SERVER,)}
# In words; what is decided otherwise.
STEP_MISTAKES: list[tuple[str, Decide]] = [
    # the sum of the clients' gradients
    ("client gradients are averaged over the participants, not summed",
     {"share": lambda b: np.ones(b.size) / np.count_nonzero(b)}),
    ("client gradients are averaged over all K clients, not summed",
     {"share": lambda b: np.ones(b.size) / b.size}),
    ("client gradients are weighted by b_k / B_t, not summed", {"share": lambda b: b / b.sum()}),
    ("client gradients are weighted by shares by position, not by client", {"share": _by_place}),
    ("only the first participant's gradient is used", {"share": _only(0)}),
    ("only the last participant's gradient is used: each overwrites the one before",
     {"share": _only(-1)}),
    ("the last participant's gradient is left out", {"share": lambda b: 1.0 - _only(-1)(b)}),
    ("client gradients are summed in half precision", {"summed_in": np.float16}),
    # the loss
    ("the loss is a mean of the clients' means, not over all samples of the batch",
     {"scale": lambda b, i: _means(b, i) / b.size}),
    ("each client's loss is a mean over its own samples, and these are added up",
     {"scale": _means}),
    ("the loss is summed over the batch, not averaged", {"scale": lambda b, i: 1.0}),
    ("the loss is divided by the number of participants, not of samples",
     {"scale": lambda b, i: 1 / b.size}),
    ("the loss is divided by the size of the largest batch, also in a smaller one",
     {"scale": lambda b, i: 1 / i["batch_sizes"].sum(axis=1).max()}),
    *((f"the loss is a mean of the means of micro-batches of {n}", {"scale": _micro_batches(n)})
      for n in (4, 8, 16, 32)),
    ("a softmax comes before a loss that applies softmax itself", {"softmax_first": True}),
    *((f"the labels are smoothed by {share:g}", {"smoothing": share})
      for share in (0.05, 0.1, 0.2)),
    # what crosses the cut
    ("labels are joined in the reverse order of clients", {"labels": lambda on: on[::-1]}),
    ("labels are joined in the order of clients' numbers as text (0, 10, 2)", {"labels": AS_TEXT}),
    ("activations are joined in the order of clients' numbers as text", {"activations": AS_TEXT}),
    ("gradients at the cut go back in the reverse order of clients",
     {"answers": lambda on: on[::-1]}),
    ("gradients at the cut go back in the order of clients' numbers as text",
     {"answers": AS_TEXT}),
    ("each client gets its rows of the gradient at the cut in the reverse order of its samples",
     {"reversed_samples": True}),
    ("the loss itself is sent back in place of its gradient at the cut", {"loss_sent": True}),
    ("the gradient at the cut is taken at the server's weights after the update",
     {"after_update": "backward"}),
    ("the server runs forward again, at the weights after the update, for the gradient it sends",
     {"after_update": "forward"}),
    # who is updated
    ("clients that sat a step out do not apply its update", {"updated": np.flatnonzero}),
    ("only the first half of the clients apply the update",
     {"updated": lambda b: range((b.size + 1) // 2)}),
    ("only the first client applies the update", {"updated": lambda b: [0]}),
    ("the client halves are never updated", {"updated": lambda b: []}),
    ("the server half is never updated", {"frozen": True}),
    ("the server takes clients one after another, with an update for each", {"server": "in turn"}),
    ("one array of gradients is shared by the clients, and each scales it by the rate in place",
     {"shared_array": True}),
    ("a client that comes back goes on with the velocity it had when it left",
     {"updated": np.flatnonzero, "caught_up": "stale"}),
    ("a client that comes back begins with velocity 0",
     {"updated": np.flatnonzero, "caught_up": "lost"}),
    ("absent clients' halves are shown as they were: show what each would use next",
     {"stale_report": True}),
    # the optimizer
    ("the learning rate of the client half is multiplied by the number of participants",
     {"client_rate": lambda participants: participants}),
    ("the learning rate of the client half is divided by the number of participants",
     {"client_rate": lambda participants: 1 / participants}),
    ("weight decay of the client half is applied once for each participant",
     {"client_decay": lambda participants: participants}),
    *((f"momentum never acts{on}: optimizers are new in every step",
       {"fresh": dict.fromkeys(sides, "step")}) for on, sides in ON.items()),
    *((f"optimizers are new in every epoch{on}", {"fresh": dict.fromkeys(sides, "epoch")})
      for on, sides in ON.items()),
    *((f"weight decay is lost{on}", {"without_decay": sides}) for on, sides in ON.items()),
    *((f"gradients are not set to zero between steps{on}", {"not_zeroed": sides})
      for on, sides in ON.items()),
    *((f"the gradient of each half is clipped to the norm {norm:g}", {"clip": (norm, epsilon)})
      for norm in (0.5, 1.0, 2.0, 5.0, 10.0) for epsilon in (0.0, 1e-6)),  # PyTorch adds 1e-6
    ("the momentum is Nesterov's", {"sgd": "nesterov"}),
    ("the momentum dampens the gradient by 1 - momentum", {"sgd": "dampened"}),
    ("weight decay is applied beside the velocity, not through it", {"sgd": "decoupled"}),
    # batch norms and residual blocks
    ("the server half runs once for each client's samples: batch norms take statistics of each, and"
     " update the running ones once per client", {"apart": True}),
    ("training takes the running statistics of batch norms in place of the batch's",
     {"changed": altered.norms(altered.AlwaysEvaluating)}),
    ("the running variance of batch norms takes the batch's over n, not over n - 1",
     {"changed": altered.norms(altered.BiasedRunning)}),
    ("evaluation takes the statistics of its own images, not the running ones of batch norms",
     {"changed": altered.norms(altered.NeverEvaluating)}),
    *((f"the shortcut of {where} is lost: y = branch(x)",
       {"changed": altered.blocks(where, altered.shortcut)}) for where in altered.BLOCKS),
    *((f"the last ReLU of {where} is lost",
       {"changed": altered.blocks(where, altered.last_relu)}) for where in altered.BLOCKS),
    # the end
    ("evaluation runs the client half from before the last update", {"evaluated": "before"}),
    ("evaluation runs an untrained client half, as if the checkpoint lacked it",
     {"evaluated": "initial"}),
]  # fmt: skip
