"""`pslref oracle`: parses, calls one function, prints."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pslref.terminal import print_json

if TYPE_CHECKING:
    import numpy as np

    from pslref.oracle.report import Result

app = typer.Typer(
    invoke_without_command=True,
    help="Is another implementation right? If not, what is wrong with it?",
)


@app.callback()
def without_command(context: typer.Context) -> None:
    """Without a command, print the help."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def _option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text)


Seed = Annotated[int | None, _option("Of the fresh inputs; drawn and printed if not given.")]
Json = Annotated[bool, _option("Print one JSON object instead of text.", "--json")]
BackendName = Annotated[str | None, _option("A Python backend, package.module:factory.")]
Command = Annotated[str | None, _option("A program that answers JSON lines (docs/oracle.md).")]


@app.command()
def check(
    backend: BackendName = None,
    command: Command = None,
    tier: Annotated[str, _option("Of vectors, laws, distribution.")] = "vectors,laws,distribution",
    op: Annotated[str | None, _option("Only these operations, separated by commas.")] = None,
    expect_failure: Annotated[
        list[str] | None, _option("ID=REASON or OPERATION=REASON: known to fail; repeat it.")
    ] = None,
    first: Annotated[bool, _option("Stop at the first that is wrong.", "--first")] = False,
    time_limit: Annotated[float, _option("Seconds for one answer.")] = 10.0,
    seed: Seed = None,
    json_: Json = False,
) -> int:
    """Check an implementation: 0 right, 1 wrong, 2 could not be checked.

    Example: pslref oracle check --command "node docs/examples/backend.js"
    """
    from pslref.oracle.backends import CommandBackend
    from pslref.oracle.examination import examine
    from pslref.oracle.ops import OPS

    if (backend is None) == (command is None):
        raise ValueError("one of --backend and --command must be given")
    serve = [sys.executable, "-m", "pslref.oracle.serve", str(backend)]
    asked = CommandBackend(shlex.split(command) if command else serve, time_limit)
    rng, seed = _generator(seed)
    try:
        report = examine(
            asked,
            rng,
            tiers=tier.split(","),
            ops=op.split(",") if op else OPS,
            expected_failures=_reasons(expect_failure or []),
            stop_at_first=first,
            after_each=(lambda result: None) if json_ else _print_if_wrong,
        )
    finally:
        asked.close()
    if json_:
        print_json({"seed": seed, **report.as_json()})
    else:
        print("\n".join([*report.lines(), f"(--seed {seed} draws the same inputs again)"]))
    return report.exit_code


@app.command()
def schedules(
    file: Annotated[Path, typer.Argument(help="CSV or JSON, as docs/oracle.md describes.")],
    law: Annotated[str, _option("ugs, fls, fpls or lds.")],
    batch_size: Annotated[int, _option("B, the global batch size.")],
    sizes: Annotated[str | None, _option("n_k of every client, separated by commas.")] = None,
    class_counts: Annotated[
        Path | None, _option("JSON file with the (K, M) list n_km, instead of --sizes; LDS.")
    ] = None,
    remainder: Annotated[str, _option("short or even.")] = "short",
    delays: Annotated[str | None, _option("LDS: d_k, separated by commas.")] = None,
    delta: Annotated[float, _option("LDS: δ.")] = 0.0,
    concentration: Annotated[float, _option("LDS: c.")] = 1.0,
    pseudo_samples: Annotated[int | None, _option("LDS: S.")] = None,
    reestimate: Annotated[bool, _option("LDS: EM goes on when clients ran out.")] = True,
    json_: Json = False,
) -> int:
    """Judge schedules that a server has logged against the law of a sampler.

    Example: pslref oracle schedules epochs.csv --law ugs --sizes 40,12,8 --batch-size 10
    """
    from pslref.oracle.logged import judge_file

    findings = judge_file(
        file,
        law,
        batch_size,
        sizes=_numbers("sizes", sizes, int),
        class_counts=class_counts,
        remainder=remainder,
        delays=_numbers("delays", delays, float),
        delta=delta,
        concentration=concentration,
        pseudo_samples=pseudo_samples,
        reestimate=reestimate,
    )
    if json_:
        print_json([finding.__dict__ for finding in findings])
    else:
        for finding in findings:
            print(f"{'ok   ' if finding.passed else 'WRONG'} {finding.name}: {finding.detail}")
            print(f"      detects {finding.detects}")
    return 0 if all(finding.passed for finding in findings) else 1


@app.command()
def export(folder: Annotated[Path, typer.Argument(help="Where to write them.")]) -> None:
    """Write the test vectors and their JSON Schema to a folder.

    Example: pslref oracle export vectors
    """
    from pslref.oracle import vectors

    for path in vectors.export(folder):
        print(path)


@app.command()
def generate(folder: Annotated[Path, typer.Argument(help="Where to write them.")]) -> None:
    """Make the test vectors anew, and validate them (needs jsonschema).

    Example: pslref oracle generate pslref/oracle/vectors
    """
    from pslref.oracle.generate import generate

    for path in generate(folder):
        print(path)


@app.command()
def study(
    backend: Annotated[list[str], _option("package.module:factory; repeat it.")],
    runs: Annotated[int, _option("Full checks of each, with seeds 0, 1, ...")] = 100,
    out: Annotated[Path, _option("The CSV file to write.")] = Path("study.csv"),
) -> int:
    """Check right implementations many times: is anyone accused, and are p-values uniform?

    Example: pslref oracle study --backend pslref.oracle.library:Library --out study.csv
    """
    from pslref.oracle.study import study, summary

    rows = study(backend, [_generator(seed)[0] for seed in range(runs)], out, print)
    print("\n".join(summary(rows)))
    return int(any(row["exit_code"] for row in rows))


def _generator(seed: int | None) -> "tuple[np.random.Generator, int]":
    import numpy as np

    drawn = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    return np.random.default_rng(drawn), drawn


def _reasons(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if not all(pair.partition("=")):
            raise ValueError(f"expect_failure = {pair!r}: must be ID=REASON")
    return {name: reason for name, _, reason in (pair.partition("=") for pair in pairs)}


def _numbers(name: str, text: str | None, kind: type) -> Any:
    try:
        return None if text is None else [kind(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name} = {text!r}: must be numbers separated by commas") from None


def _print_if_wrong(result: "Result") -> None:
    if result.is_wrong:
        print(f"{result.id}: {result.sentence}", flush=True)
