"""The judgement of schedules that somebody's server has logged."""

from pathlib import Path
from typing import Any

import numpy as np

from pslref import check
from pslref.oracle.class_targets import judge_targets
from pslref.oracle.distribution import LAWS, judge
from pslref.oracle.result import Result
from pslref.oracle.schedules import read_json, read_schedules

DRAWS = {"targets": "hypergeometric", "stratified": "stratified"}  # of class targets, by law
OF_LDS = ("delays", "delta", "concentration", "pseudo_samples", "reestimate")
OF_TARGETS = ("delays", "assign", "sample_costs", "slack")


def judge_file(
    path: Path,
    law: str,
    batch_size: int,
    *,
    sizes: list[int] | None,
    class_counts: Path | None,
    remainder: str,
    **options: Any,
) -> tuple[list[Result], str, int]:
    """`judge` or, for class targets, `judge_targets` on all epochs in a file.

    Returns:
        The results; a sentence for all of them; the exit code: 0, 1 for anything wrong, 2 if
        there are too few epochs for some test to see anything.

    Raises:
        ValueError: for a file that holds no schedules, and unless exactly one of sizes and
            class_counts is given; LDS and class targets need the latter.
    """
    check.one_of("law", law, (*LAWS, *DRAWS))
    if (sizes is None) == (class_counts is None):
        raise ValueError("one of --sizes and --class-counts must be given")
    counts = None
    if class_counts is not None:
        counts = check.class_counts("class_counts", read_json("class_counts", class_counts))
    n = np.array(sizes) if counts is None else counts.sum(axis=1)
    if law in DRAWS:
        if counts is None:
            raise check.wrong("class_counts", counts, f"must be given if law = {law!r}")
        title = f"class targets, {DRAWS[law]} and {options['assign']}"
        epochs = read_schedules(path, n.size, counts.shape[1])
        given: Any = {name: options[name] for name in OF_TARGETS} | {"draw": DRAWS[law]}
        targets = (local.sum(axis=1) for local in epochs)
        results = judge_targets(targets, epochs, counts, batch_size, remainder=remainder, **given)
    else:
        title, epochs = law.upper(), read_schedules(path, n.size)
        given = {name: options[name] for name in OF_LDS} | {"class_counts": counts}
        given = given if law == "lds" else {}
        results = judge(epochs, law, n, batch_size, remainder=remainder, **given)
    used = f"all {len(epochs)} epochs, {sum(map(len, epochs))} steps, were used"
    wrong = [one.check for one in results if one.verdict == "wrong"]
    blind = [one.check for one in results if one.verdict == "unsupported"]
    if wrong:
        return results, f"WRONG: this is not {title}: {', '.join(wrong)} ({used})", 1
    if blind:
        return results, f"TOO FEW EPOCHS for {', '.join(blind)} to see anything ({used})", 2
    noted = "".join(f", but see {one.check}" for one in results if one.verdict == "noted")
    return results, f"RIGHT: nothing speaks against {title}{noted} ({used})", 0
