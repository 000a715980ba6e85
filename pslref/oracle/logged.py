"""The judgement of schedules that somebody's server has logged."""

from pathlib import Path
from typing import Any

import numpy as np

from pslref import check
from pslref.oracle.bets import Finding
from pslref.oracle.distribution import judge
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
) -> list[Finding]:
    """`distribution.judge` on the epochs in a file, with the clients' data given by hand.

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
    return judge(epochs, law, n, batch_size, remainder=remainder, **options)
