"""Outages: who is away when, and how they are drawn."""

import numpy as np

from pslref.split import Outage, draw_outages
from pslref.split.faults import away, next_return


def test_an_outage_by_hand() -> None:
    """Within its first step a client fails, but was there when the step began."""
    known, failing = Outage(0, 2, 4), Outage(0, 2, 4, within=True)
    assert [known.is_on(step) for step in range(6)] == [False, False, True, True, False, False]
    assert [failing.is_on(step) for step in range(6)] == [False, False, False, True, False, False]
    assert Outage(0, 2).is_on(10**9)


def test_who_is_away_and_who_will_be_back_first() -> None:
    """Overlapping outages of one client, too: it is back when both are over."""
    outages = [Outage(0, 1, 3), Outage(1, 2, within=True), Outage(2, 1, 5), Outage(2, 4, 6)]
    gone = [set(), {0, 2}, {0, 2}, {1, 2}, {1, 2}, {1, 2}, {1}]
    assert [set(away(outages, step)[0]) for step in range(7)] == gone
    assert [set(away(outages, step)[1]) for step in range(7)] == [set()] * 3 + [{1}] * 4
    assert [next_return(outages, step) for step in range(1, 6)] == [3, 3, 5, 5, 6]


def test_drawn_outages_are_what_was_asked_for(rng: np.random.Generator) -> None:
    few, many = (draw_outages(20, 1000, np.random.default_rng(3), lost=x) for x in (0.1, 0.3))
    assert (len(few), len(many)) == (2, 6)
    assert few == many[:2]
    assert len({outage.client for outage in many}) == 6
    assert {outage.within for outage in many} == {True, False}
    shorter = draw_outages(20, 100, np.random.default_rng(3), lost=0.3)
    assert [o.start // 10 for o in many] == [o.start for o in shorter]
    assert all(outage.end is None and 0 <= outage.start < 1000 for outage in many)
    assert [len(draw_outages(3, 5, rng, lost=x)) for x in (0, 0.1, 0.5, 0.9, 1)] == [0, 0, 2, 2, 2]
