"""Read the schedules that somebody's server has logged, from CSV or JSON."""

import csv
import io
import json
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pslref import check, files
from pslref.check import IntArray

COLUMNS = ("epoch", "step", "client", "samples")
MOST_BYTES = 2**24  # 16 MiB: as JSON, no more than half a gigabyte of Python objects
MOST_CELLS = 2**25
MOST_EPOCHS = 100_000
WHOLE = f"a whole number from 0 to {check.MOST_SAMPLES}"


def read_schedules(
    path: Path, num_clients: int | None = None, num_classes: int = 0
) -> list[IntArray]:
    """The schedules in a file: one (T, K) array of b_tk per epoch, in the order of the epochs.

    They may be written in three ways:

    * CSV with a header that names the columns epoch, step, client and samples; with a column
      class, a row is of one class, or of all if it is empty; others are ignored. Epochs, steps,
      clients and classes are numbered from 0. A client that is not listed in a step brings 0
      samples to it. A step that is not listed is an error: it may have been lost.
    * CSV without a header: a line per step, a column per client, an empty line between epochs.
    * JSON: an object whose "batch_sizes" is (T, K), one epoch, or (R, T, K).

    Args:
        path: a file of at most 16 MiB and 100,000 epochs, in UTF-8.
        num_clients: K, for a CSV that may not list the last clients.
        num_classes: M, if every row must name a class, as only a CSV with a header can; or 0.

    Returns:
        R arrays (T, K) int64, or (T, K, M) if there are classes. T may differ between the epochs:
        that is for `judge` to find.

    Raises:
        ValueError: for any other content, in one sentence, and a file that cannot be read.
    """
    content = files.content("file", path, MOST_BYTES)
    try:
        text = content.decode("utf-8-sig")
        if not num_classes and text.lstrip().startswith(("{", "[")):
            return _from_json(text)
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next((list(map(str.strip, row)) for row in rows if row), [])
        if set(COLUMNS) <= set(header):
            return _from_list(rows, header, num_clients, num_classes)
        if num_classes:
            raise ValueError(f"must be CSV whose header names {', '.join(COLUMNS)}, class")
        return _from_rows(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: must be text in UTF-8") from None
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}") from None


def read_json(name: str, path: Path) -> Any:
    """The JSON in the file that the argument `name` gives."""
    content = files.content(name, path, MOST_BYTES)
    try:
        return _parsed(content)
    except ValueError as error:
        raise check.wrong(name, str(path), str(error)) from None


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must be JSON: {error}") from None


def _from_json(text: str) -> list[IntArray]:
    content = _parsed(text)
    epochs = content.get("batch_sizes") if isinstance(content, dict) else None
    if not isinstance(epochs, list) or not epochs or not isinstance(epochs[0], list):
        raise ValueError('must be an object with "batch_sizes", an array of steps or of epochs')
    if not any(isinstance(row, list) for row in epochs[0]):
        epochs = [epochs]
    check.integer("epochs", len(epochs), 1, MOST_EPOCHS)
    return [check.integers(f"epoch {r}", epoch, ndim=2) for r, epoch in enumerate(epochs)]


def _from_list(
    rows: Iterable[list[str]], header: list[str], num_clients: int | None, num_classes: int
) -> list[IntArray]:
    """One row for each epoch, step, client and perhaps class; the header has been read."""
    columns = [header.index(name) for name in COLUMNS]
    class_column, of_sampler = (
        header.index(name) if name in header else len(header) for name in ("class", "sampler")
    )
    flat, samplers = array("q"), set()
    for i, row in enumerate(rows, 2):
        if row:
            samplers.add(row[of_sampler] if of_sampler < len(row) else "")
            flat.extend(_count(row[c] if c < len(row) else "", i) for c in columns)
            label = row[class_column].strip() if class_column < len(row) else ""
            flat.append(_count(label, i) if label else -1)
    table = np.array(flat, np.int64).reshape(-1, len(COLUMNS) + 1)
    if not len(table):
        raise ValueError("must list at least one step")
    if len(samplers) > 1:
        raise ValueError(f"has {', '.join(sorted(samplers))}: must be the schedules of one sampler")
    check.integer("last epoch", int(table[:, 0].max()), 0, MOST_EPOCHS - 1)
    table = table[np.lexsort(table[:, [4, 2, 1, 0]].T)]
    again = (np.diff(table[:, [0, 1, 2, 4]], axis=0) == 0).all(axis=1)
    for epoch, step, client in table[1:][again, :3][:1]:
        raise ValueError(f"lists epoch {epoch}, step {step}, client {client} twice")
    clients = int(table[:, 2].max()) + 1
    clients = clients if num_clients is None else max(clients, num_clients)
    steps, row_of = np.unique(table[:, :2], axis=0, return_inverse=True)
    classes = max(1, num_classes)
    if len(steps) * clients * classes > MOST_CELLS:
        raise ValueError(f"{len(steps)} steps of {clients} clients: at most {MOST_CELLS} cells")
    last_epoch, last_step = -1, 0
    for epoch, step in steps.tolist():
        if (epoch, step) not in ((last_epoch, last_step + 1), (last_epoch + 1, 0)):
            lost = (epoch, last_step + 1) if epoch == last_epoch else (last_epoch + 1, 0)
            allowed = "numbers start at 0, and a step in which nobody takes part is listed too"
            raise ValueError(f"epoch {lost[0]}, step {lost[1]} is missing: {allowed}")
        last_epoch, last_step = epoch, step
    of_class = table[:, 4] if num_classes else 0 * table[:, 4]
    for row in table[(table[:, 3] > 0) & ((of_class < 0) | (of_class >= classes))][:1]:
        place = "epoch {}, step {}, client {}".format(*row)
        raise ValueError(f"{place}: must name a class, 0 to {classes - 1}")
    dense = np.zeros((len(steps), clients, classes), np.int64)
    np.add.at(dense, (row_of.ravel(), table[:, 2], of_class.clip(0, classes - 1)), table[:, 3])
    dense = dense if num_classes else dense[:, :, 0]
    return np.split(dense, np.flatnonzero(np.diff(steps[:, 0])) + 1)


def _from_rows(rows: Iterable[list[str]]) -> list[IntArray]:
    """One row for each step, one column for each client."""
    flat, width, starts, ended = array("q"), 0, [0], False
    for i, row in enumerate(rows, 1):
        if not any(map(str.strip, row)):
            ended = True
            continue
        if ended and flat:
            starts.append(len(flat) // width)
            check.integer("epochs", len(starts), 1, MOST_EPOCHS)
        width, ended = width or len(row), False
        if len(row) != width:
            raise ValueError(f"row {i} has {len(row)} columns, and those before it {width}")
        flat.extend(_count(field, i) for field in row)
    if not width:
        raise ValueError("must list at least one step")
    return np.split(np.array(flat, np.int64).reshape(-1, width), starts[1:])


def _count(field: str, row: int) -> int:
    digits = field.strip()
    short = digits.isascii() and digits.isdigit() and len(digits) <= len(str(check.MOST_SAMPLES))
    if not short or int(digits) > check.MOST_SAMPLES:
        shown = repr(digits if len(digits) < 20 else digits[:20] + "...")
        header = f", unless row 1 is a header that names {', '.join(COLUMNS)}" if row == 1 else ""
        raise ValueError(f"row {row} has {shown} where it must have {WHOLE}{header}")
    return int(digits)
