from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pslref
from pslref.nn import mlp
from pslref.sampling import Schedule, Steps, fls, targets, ugs, ugs_steps
from pslref.split import Simulation, local_batches
from tests.small import CLASSES, setting

seeds, batch_sizes = st.integers(0, 2**32), st.integers(1, 60)


def by_class(counts: np.ndarray, batch_size: int, rng: np.random.Generator) -> Schedule:
    return targets(counts, batch_size, rng, assign="random")


@given(seeds, batch_sizes, st.booleans())
def test_a_simulation_draws_the_same_batches(seed: int, batch_size: int, classes: bool) -> None:
    rng = np.random.default_rng(seed)
    x, y, part = setting(rng)
    schedule = ugs(part.sizes, batch_size, rng)
    if classes:
        schedule = by_class(part.class_counts, batch_size, rng)
    net = mlp([6, CLASSES], rng=rng)
    simulation = Simulation(net, 1, x, y, part, 0.1, rng=np.random.default_rng(seed))
    steps = list(local_batches(schedule, part, np.random.default_rng(seed)))
    assert len(steps) == schedule.num_steps
    for asked, step in zip(schedule.demands(), steps, strict=True):
        simulation.step(asked if classes else asked[:, 0])
        drawn = np.concatenate([indices for _, indices in step])
        assert drawn.tolist() == simulation.last_batch.tolist()


@given(seeds, batch_sizes)
def test_every_sample_is_handed_out_once_by_its_client(seed: int, batch_size: int) -> None:
    rng = np.random.default_rng(seed)
    _, y, part = setting(rng)
    schedule = by_class(part.class_counts, batch_size, rng)
    handed_out: list[list[int]] = [[] for _ in part.indices]
    for asked, step in zip(schedule.demands(), local_batches(schedule, part, rng), strict=True):
        assert [client for client, _ in step] == np.flatnonzero(asked.any(axis=1)).tolist()
        for client, indices in step:
            classes = np.bincount(y[indices], minlength=CLASSES)
            assert classes.tolist() == asked[client].tolist()
            handed_out[client] += indices.tolist()
    assert [sorted(own) for own in handed_out] == [sorted(own) for own in part.indices]


def test_each_call_shuffles_anew(rng: np.random.Generator) -> None:
    """Ten samples in a row come in the same order with probability 1 / 10!: never seen by luck."""
    _, _, part = setting(rng, num_clients=1)
    schedule = fls(part.sizes, 60)
    epochs = [next(local_batches(schedule, part, rng))[0][1][:10].tolist() for _ in range(2)]
    assert epochs[0] != epochs[1]


def test_steps_are_walked_as_their_schedule_is(rng: np.random.Generator) -> None:
    _, _, part = setting(rng)
    epochs = []
    for schedule in (
        ugs(part.sizes, 7, np.random.default_rng(1)),
        ugs_steps(part.sizes, 7, np.random.default_rng(1)),
    ):
        steps = local_batches(schedule, part, np.random.default_rng(2))
        epochs.append([[(k, indices.tolist()) for k, indices in step] for step in steps])
    assert epochs[0] == epochs[1]


def test_steps_of_other_clients_are_refused(rng: np.random.Generator) -> None:
    _, _, part = setting(rng)
    with pytest.raises(ValueError, match=r"^schedule.num_clients = 2: must be a whole number fro"):
        local_batches(Steps(iter([]), 0, 2), part, rng)


def test_the_page_on_frameworks_plans_anew_for_who_is_left(rng: np.random.Generator) -> None:
    """The code of docs/frameworks.md; clients 0 and 3 are gone or have used up what they hold."""
    page = Path(__file__).parents[2] / "docs" / "frameworks.md"
    (code,) = [c for c in page.read_text(encoding="utf-8").split("```") if "used_or_lost)" in c]
    owners, labels = np.array([3, 5, 0, 5, 3, 1, 1, 5, 5]), np.array([0, 1, 0, 1, 0, 1, 0, 1, 1])
    seen: list[tuple[int, list[int]]] = []
    given = {"np": np, "pslref": pslref, "owners": owners, "labels": labels, "rng": rng}
    code = code.removeprefix("python") + "        seen.append((int(owner), batch.tolist()))"
    exec(code, given | {"used_or_lost": [0, 2, 4, 7], "seen": seen})
    assert sorted(i for _, batch in seen for i in batch) == [1, 3, 5, 6, 8]
    assert all((owners[batch] == owner).all() for owner, batch in seen)
