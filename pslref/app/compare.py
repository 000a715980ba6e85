"""Several runs, all else equal, and what their numbers say."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pslref import check, files
from pslref.app import printed
from pslref.app.config import Config, time_unit
from pslref.app.grids import Row, described, labels, varying
from pslref.app.runs import run
from pslref.app.scenario import dataset_of, random_streams, scenario, told
from pslref.app.tables import LARGEST, MEANS, Results, summary, write, write_latex
from pslref.data import Dataset
from pslref.split import Diverged

TO_TARGET = {"time_to_target": "time_so_far", "megabytes_to_target": "megabytes_so_far"}
TABLES = ("results.csv", "epochs.csv", "steps.csv", "config.json")


def compare(
    configs: Sequence[Config],
    dataset: Dataset | None = None,
    *,
    target: float | None = None,
    out: Path | None = None,
    figures: str = "png",
    after_epoch: Callable[[], object] = lambda: None,
) -> Results:
    """Train one network in several ways; one seed, one partition and weights (`random_streams`).

    Args:
        configs: what to run, such as `grids.configs` returns; they differ in nothing but sampler,
            seed and faults.
        dataset: the data to train on, instead of those that the configs name.
        target: an accuracy, 0 to 1; rows say at what time and after how many megabytes the first
            epoch ended that reached it, or None.
        out: a folder for results.csv, epochs.csv, steps.csv and config.json, which are written anew
            after every run, and for results.tex and compare.png, or faults.png if clients are lost.
        figures: png, pdf or svg.
        after_epoch: called after every epoch of every run, for a progress bar.

    Raises:
        Diverged: if a loss stops being finite; the runs before it are written.
    """
    if others := set(varying(configs)) - {"faults"}:
        allowed = "must differ in sampler, faults and seed alone"
        raise check.wrong("configs that differ in", sorted(others), allowed)
    check.one_of("figures", figures, files.FIGURES)
    drawn = picture_name(configs, figures)
    files.check_outputs(("out", out, ["results.tex", *TABLES, drawn]))
    if target is not None:
        check.real("target", target, 0, 1)
    if out is not None:  # it takes long; now, since a matplotlibrc may forbid it
        from pslref.app import pictures, plots
    dataset = dataset or dataset_of(configs[0])
    for config in configs:
        if config.seed == configs[0].seed:  # refuse it before the others are trained
            scenario(config, dataset, random_streams(config.seed))
    results, unit = Results(), time_unit(str(described(configs)["links"]))
    for config in configs:
        try:
            found = run(config, dataset, after_epoch)
        except Diverged as error:
            raise Diverged(f"sampler {config.sampler}, seed {config.seed}, {error}") from None
        if target is not None:
            reached = [row for row in found.epochs if row["test_accuracy"] >= target]
            first = reached[0] if reached else {}
            found.runs[0] |= {name: first.get(of_epoch) for name, of_epoch in TO_TARGET.items()}
        results.add(label(config), found)
        if out is not None:
            write(out, told(configs), results)
    if out is not None:
        write_latex(out / "results.tex", map(printed.trained, summarized(results)))
        if loses_clients(configs):
            picture = plots.sweep(summarized(results), ["faults"])
        else:
            picture = plots.compare(results.epochs, results.steps, unit)
        pictures.save(picture, out / drawn)
    return results


def label(config: Config) -> Row:
    """What says which run a row is of."""
    return {name: labels(config)[name] for name in ("sampler", "seed", "faults")}


def loses_clients(configs: Sequence[Config]) -> bool:
    """Whether any of the runs does."""
    return any(config.faults for config in configs)


def picture_name(configs: Sequence[Config], figures: str) -> str:
    """The name of the picture's file."""
    return f"{'faults' if loses_clients(configs) else 'compare'}.{figures}"


def summarized(results: Results) -> list[Row]:
    """A row per sampler and share of lost clients; the largest deviation is of any step."""
    to_target = [name for name in TO_TARGET if name in results.runs[0]]
    return summary(results.runs, ("sampler", "faults"), [*MEANS, *to_target], LARGEST)


def reached(runs: Sequence[Row]) -> str:
    """One sentence that says how many seeds of each sampler reached the target."""
    times: dict[str, list[bool]] = {}
    for row in runs:
        times.setdefault(row["sampler"], []).append(row["megabytes_to_target"] is not None)
    parts = [f"{sampler} {sum(each)} of {len(each)}" for sampler, each in times.items()]
    return (
        f"Seeds that reached the target: {', '.join(parts)}. "
        "Time and MB to it are their mean, at the end of an epoch."
    )


def verdict(rows: Sequence[Row]) -> str:
    """One sentence that says what a summary shows about accuracy."""
    compared = [row for row in rows if row["low"] is not None]
    if not compared:
        return "A comparison needs centralized, another sampler, and at least two seeds."
    hidden = "not told apart (time, MB and max Δ decide; up to so many points could be hidden)"
    groups = {
        "clearly below it": [_points(row) for row in compared if row["high"] < 0],
        "clearly above it": [_points(row) for row in compared if row["low"] > 0],
        hidden: [
            f"{row['sampler']} {100 * max(-row['low'], row['high']):.1f}"
            for row in compared
            if row["low"] <= 0 <= row["high"]
        ],
    }
    parts = [f"{says}: {', '.join(found)}" for says, found in groups.items() if found]
    seeds = compared[0]["seeds"]
    return f"Accuracy over {seeds} seeds beside centralized training, {'; '.join(parts)}."


def _points(row: Row) -> str:
    difference, low, high = (100 * row[key] for key in ("difference", "low", "high"))
    return f"{row['sampler']} {difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
