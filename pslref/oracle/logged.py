"""The judgement of schedules that somebody's server has logged."""

from pathlib import Path
from typing import Any

import numpy as np

from pslref import check
from pslref.oracle.distribution import judge
from pslref.oracle.result import Result
from pslref.oracle.schedules import read_json, read_schedules


def judge_file(
    path: Path,
    law: str,
    batch_size: int,
    *,
    sizes: list[int] | None,
    class_counts: Path | None,
    remainder: str,
    **lds_options: Any,
) -> tuple[list[Result], str, int]:
    """`distribution.judge` on all epochs in a file, with the clients' data given by hand.

    Returns:
        The results; a sentence for all of them; the exit code: 0, 1 for anything wrong, 2 if
        there are too few epochs for some test to see anything.

    Raises:
        ValueError: for a file that holds no schedules, and unless exactly one of sizes and
            class_counts is given; LDS needs the latter.
    """
    if (sizes is None) == (class_counts is None):
        raise ValueError("one of --sizes and --class-counts must be given")
    counts = None
    if class_counts is not None:
        counts = check.class_counts("class_counts", read_json("class_counts", class_counts))
    n = np.array(sizes) if counts is None else counts.sum(axis=1)
    options = {"class_counts": counts, **lds_options} if law == "lds" else {}
    epochs = read_schedules(path, n.size)
    results = judge(epochs, law, n, batch_size, remainder=remainder, **options)
    used = f"all {len(epochs)} epochs, {sum(map(len, epochs))} steps, were used"
    wrong = [one.check for one in results if one.verdict == "wrong"]
    blind = [one.check for one in results if one.verdict == "unsupported"]
    if wrong:
        return results, f"WRONG: this is not {law.upper()}: {', '.join(wrong)} ({used})", 1
    if blind:
        return results, f"TOO FEW EPOCHS for {', '.join(blind)} to see anything ({used})", 2
    return results, f"RIGHT: nothing speaks against {law.upper()} ({used})", 0
