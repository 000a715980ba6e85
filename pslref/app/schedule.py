"""Who brings how many samples to which step, as rows that can be executed elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pslref import check, files
from pslref.app.clients import Table, planned_for
from pslref.app.config import Config
from pslref.app.grids import Row
from pslref.app.scenario import dataset_of, draw_schedule

MOST_ROWS = 5_000_000  # each takes some 200 bytes


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
    for config, clients, streams in planned_for(configs, table or dataset_of(configs[0])):
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
