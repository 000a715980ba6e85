"""Who brings how many samples to which step, as rows that can be executed elsewhere."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np

from pslref import check, files
from pslref.app.clients import Table, planned_for
from pslref.app.config import Config
from pslref.app.grids import Row
from pslref.app.scenario import Clients, draw_schedule
from pslref.sampling import Schedule

MOST_ROWS = 5_000_000  # each takes some 200 bytes
MOST_BYTES = 2**28  # of a file that is read
COLUMNS = ("sampler", "epoch", "step", "client", "class", "samples")


def schedules(
    configs: Sequence[Config], table: Table | None = None, *, out: Path | None = None
) -> list[Row]:
    """A row per sampler, epoch, step, participating client and, where it is prescribed, class.

    Args:
        configs: what to plan, one for each sampler; `epochs` of each.
        table: for whom, instead of the clients that the configs draw.
        out: a folder for schedule.csv.

    Returns:
        Rows with `sampler`, `epoch`, `step`, `client`, `class` and `samples`. A client draws freely
        from what it holds where the class is None.
    """
    files.check_outputs(("out", out, ["schedule.csv"]))
    rows: list[Row] = []
    for config, clients, streams in planned_for(configs, table):
        most = MOST_ROWS // (len(configs) * int(clients.class_counts.sum()))
        check.integer("epochs", config.epochs, 1, most)
        for epoch in range(config.epochs):
            schedule = draw_schedule(config, clients, streams["schedule"])
            classes = [None] if schedule.local_class_counts is None else clients.classes
            for step, asked in enumerate(schedule.demands()):
                place = {"sampler": config.sampler, "epoch": epoch, "step": step}
                for k, group in np.argwhere(asked).tolist():
                    who = {"client": clients.names[k], "class": classes[group]}
                    rows.append(place | who | {"samples": int(asked[k, group])})
    if out is not None:
        files.write_csv(out / "schedule.csv", rows)
    return rows


def read(path: Path, clients: Clients) -> dict[tuple[str, int], Schedule]:
    """The schedules in a file that `schedules` wrote for these clients, by sampler and epoch.

    Raises:
        ValueError: naming the line and the column of what such a file cannot hold.
    """
    text = files.content("schedule", path, MOST_BYTES).decode("utf-8-sig", "replace")
    lines = csv.DictReader(StringIO(text, newline=""), restval="")
    if not set(COLUMNS) <= set(lines.fieldnames or ()):
        raise check.wrong("schedule", str(path), f"must have the columns {', '.join(COLUMNS)}")
    places = {str(name): k for k, name in enumerate(clients.names)}
    groups = {str(name): m for m, name in enumerate(clients.classes)}
    asked: dict[tuple[str, int], list[tuple[int, int, int | None, int]]] = {}
    for line in lines:
        where = f"in line {lines.line_num} of {path}"
        alone = line["sampler"] == "centralized"
        whose = {"all": 0} if alone else places
        client = whose[check.one_of(f"client {where}", line["client"], whose)]
        klass = None
        if line["class"]:
            klass = groups[check.one_of(f"class {where}", line["class"], groups)]
        epoch, step, samples = (
            _count(f"{name} {where}", line[name]) for name in ("epoch", "step", "samples")
        )
        asked.setdefault((line["sampler"], epoch), []).append((step, client, klass, samples))
    return {
        (sampler, epoch): _schedule(
            rows, 1 if sampler == "centralized" else len(places), len(groups)
        )
        for (sampler, epoch), rows in asked.items()
    }


def _count(what: str, text: str) -> int:
    number = int(text) if text.isdecimal() and len(text) < 12 else text
    return check.integer(what, number, 0, check.MOST_SAMPLES)


def _schedule(rows: list[tuple[int, int, int | None, int]], k: int, m: int) -> Schedule:
    """The schedule of these steps, clients, classes and samples."""
    free = all(klass is None for _, _, klass, _ in rows)
    num_steps = 1 + max(step for step, *_ in rows)
    check.integer(
        "steps * clients * classes", num_steps * k * (1 if free else m), 1, check.MOST_NUMBERS
    )
    counts = np.zeros((num_steps, k, 1 if free else m), np.int64)
    for step, client, klass, samples in rows:
        counts[step, client, klass or 0] += samples
    return Schedule(counts.sum(axis=2), None if free else counts)
