import tracemalloc
from collections import Counter
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.sampling import (
    assign,
    fls,
    fls_steps,
    fpls,
    fpls_steps,
    lds,
    lds_steps,
    targets,
    targets_steps,
    ugs,
    ugs_steps,
    walks,
)
from pslref.sampling.walks import tally
from pslref.split import step_times
from pslref.theory import class_count_pmf, class_count_variance, expected_deviation
from tests.sampling.drawn import class_counts

tables = class_counts(clients=12, classes=2, most=12)
remainders = st.sampled_from(["short", "even"])


@given(tables, remainders, st.data())
def test_the_steps_are_the_schedule(counts, remainder, data) -> None:
    sizes = np.sum(counts, axis=1)
    batch_size = data.draw(st.integers(1, int(sizes.sum())))

    def drawn(sampler, of):
        return sampler(of, batch_size, np.random.default_rng(0), remainder=remainder)

    for dense, steps in [
        (fls(sizes, batch_size), fls_steps(sizes, batch_size)),
        (fpls(sizes, batch_size), fpls_steps(sizes, batch_size)),
        (drawn(ugs, sizes), drawn(ugs_steps, sizes)),
        (drawn(lds, counts), drawn(lds_steps, counts)),
    ]:
        assert dense.sizes.tolist() == sizes.tolist()
        for (clients, brought), (expected, numbers) in zip(steps, dense.steps(), strict=True):
            assert (clients.tolist(), brought.tolist()) == (expected.tolist(), numbers.tolist())


@given(tables, remainders, st.sampled_from(["hypergeometric", "stratified"]), st.data())
@pytest.mark.parametrize(
    "way", [{}, {"assign": "random"}, {"assign": "planned", "sample_costs": 0.5, "slack": 0.5}]
)
@pytest.mark.parametrize("at_once", [1, 50, 2**20])
def test_the_steps_of_class_targets_are_their_schedule(
    at_once, way, counts, remainder, draw, data
) -> None:
    batch_size = data.draw(st.integers(1, int(np.sum(counts))))
    delays = data.draw(st.lists(st.integers(0, 3), min_size=len(counts), max_size=len(counts)))
    options = {"delays": delays, "draw": draw, "remainder": remainder} | way
    dense = targets(counts, batch_size, np.random.default_rng(0), **options)
    with mock.patch.object(assign, "AT_ONCE", at_once):
        steps = targets_steps(counts, batch_size, np.random.default_rng(0), **options)
        for asked, (clients, brought) in zip(dense.demands(), steps, strict=True):
            assert clients.tolist() == np.flatnonzero(asked.any(axis=1)).tolist()
            assert brought.tolist() == asked[clients].tolist()


@given(tables, st.data())
def test_time_and_law_of_the_steps_are_those_of_their_schedule(counts, data) -> None:
    batch_size = data.draw(st.integers(1, int(np.sum(counts))))
    delays = 1.0 + np.arange(len(counts))
    for sampler, steps in ((ugs, ugs_steps), (lds, lds_steps), (targets, targets_steps)):
        given = np.sum(counts, axis=1) if sampler is ugs else counts
        options = {"delays": delays} if sampler is targets else {}

        def drawn(way, given=given, options=options):
            return way(given, batch_size, np.random.default_rng(0), **options)

        found, expected = (
            step_times(drawn(steps), delays, 0.5),
            step_times(drawn(sampler), delays, 0.5),
        )
        assert found.tolist() == expected.tolist()
        for law in (expected_deviation, class_count_variance):
            assert law(drawn(steps), counts).tolist() == law(drawn(sampler), counts).tolist()
        one, other = (class_count_pmf(drawn(way), counts, 0, 0) for way in (steps, sampler))
        assert one.tolist() == other.tolist()


def walked(line: list[int], batches: list[int], at_once: int) -> list[tuple[list[int], list[int]]]:
    with mock.patch.object(walks, "AT_ONCE", at_once):
        steps = tally(np.array(line, np.int32), np.array(batches))
        return [(clients.tolist(), counts.tolist()) for clients, counts in steps]


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=12))
@pytest.mark.parametrize("at_once", [1, 7, 2**16])
def test_a_line_of_clients_is_counted_batch_by_batch(at_once: int, steps: list[list[int]]) -> None:
    line = [client for step in steps for client in step]
    expected = [tuple(zip(*sorted(Counter(step).items()), strict=True)) for step in steps]
    found = walked(line, [len(step) for step in steps], at_once)
    assert found == [(list(clients), list(counts)) for clients, counts in expected]


def test_ugs_of_many_clients_needs_four_bytes_a_sample(rng: np.random.Generator) -> None:
    """The dense array of these steps would have 10^9 cells."""
    sizes = np.full(1_000_000, 2)
    tracemalloc.start()
    brought = sum(int(counts.sum()) for _, counts in ugs_steps(sizes, 2_000, rng))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert brought == 2_000_000
    assert peak < 4 * 2_000_000 + 2 * 8 * sizes.size + 2**22
