"""`pslref oracle`: parses, calls one function, prints."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pslref import check as arguments
from pslref.app.options import PathOption, numbers, option, path
from pslref.app.terminal import print_json

if TYPE_CHECKING:
    import numpy as np

    from pslref.oracle.result import Result

app = typer.Typer(
    invoke_without_command=True,
    help="Is another implementation right? If not, what is wrong with it?",
)


@app.callback()
def without_command(context: typer.Context) -> None:
    """Without a command, print the help."""
    if context.invoked_subcommand is None:
        print(context.get_help())


Seed = Annotated[int | None, option("Of the fresh inputs; drawn and printed if not given.", of=int)]
Json = Annotated[bool, option("Print one JSON object instead of text.", "--json")]
BackendName = Annotated[str | None, option("A Python backend, package.module:factory.")]
Command = Annotated[str | None, option("A program that answers JSON lines (docs/oracle.md).")]


@app.command()
def check(
    backend: BackendName = None,
    command: Command = None,
    tier: Annotated[str, option("Of vectors, laws, distribution.")] = "vectors,laws,distribution",
    op: Annotated[str | None, option("Only these operations, separated by commas.")] = None,
    protocol: Annotated[
        str, option("What split_steps should be, as docs/oracle.md lists them.")
    ] = "psl",
    expect_failure: Annotated[
        list[str] | None, option("ID=REASON or OPERATION=REASON: known to fail; repeat it.")
    ] = None,
    first: Annotated[bool, option("Stop at the first that is wrong.", "--first")] = False,
    time_limit: Annotated[
        float | None,
        option("Seconds for one answer; if not given 10, and 60 for hello.", of=float),
    ] = None,
    seed: Seed = None,
    json_: Json = False,
) -> int:
    """Check an implementation: 0 right, 1 wrong, 2 could not be checked.

    Example: pslref oracle check --command "node docs/examples/backend.js"
    """
    from pslref.oracle.command import CommandBackend
    from pslref.oracle.examination import examine

    if (backend is None) == (command is None):
        raise ValueError("one of --backend and --command must be given")
    serve = [sys.executable, "-m", "pslref.oracle.serve", str(backend)]
    rng, seed = _generator(seed)
    asked = CommandBackend(serve if command is None else command, time_limit)
    try:
        report = examine(
            asked,
            rng,
            tiers=tier.split(","),
            ops=None if op is None else op.split(","),
            protocol=protocol,
            expected_failures=_reasons(expect_failure or []),
            stop_at_first=first,
            after_each=(lambda result: None) if json_ else _print_if_wrong,
        )
    finally:
        asked.close()
    if json_:
        print_json(seed=seed, **report.as_json())
    else:
        print("\n".join([*report.lines(), f"(--seed {seed} draws the same inputs again)"]))
    return report.exit_code


@app.command()
def schedules(
    file: Annotated[
        Path, typer.Argument(help="CSV or JSON, as docs/oracle.md describes.", parser=path)
    ],
    law: Annotated[str, option("ugs, fls, fpls, lds, targets or stratified.")],
    batch_size: Annotated[int, option("B, the global batch size.", of=int)],
    sizes: Annotated[str | None, option("n_k of every client, separated by commas.")] = None,
    class_counts: Annotated[
        PathOption | None,
        option("JSON file with the (K, M) list n_km, instead of --sizes.", of=path),
    ] = None,
    remainder: Annotated[str, option("short or even.")] = "short",
    delays: Annotated[str | None, option("LDS and targets: d_k, separated by commas.")] = None,
    delta: Annotated[float, option("LDS: δ.", of=float)] = 0.0,
    concentration: Annotated[float, option("LDS: c.", of=float)] = 1.0,
    pseudo_samples: Annotated[int | None, option("LDS: S.", of=int)] = None,
    reestimate: Annotated[bool, option("LDS: EM goes on when clients ran out.")] = True,
    assign: Annotated[str, option("Targets: slowest-first, planned or random.")] = "slowest-first",
    sample_costs: Annotated[
        str, option("Targets: s_k, separated by commas, or one for all.")
    ] = "0",
    slack: Annotated[
        float, option("Targets: how far a mix may leave the pooled one.", of=float)
    ] = 0.0,
    json_: Json = False,
) -> int:
    """Judge schedules that a server has logged against the law of a sampler.

    Example: pslref oracle schedules epochs.csv --law ugs --sizes 40,12,8 --batch-size 10
    """
    from pslref.oracle.logged import judge_file
    from pslref.oracle.report import print_results

    costs = numbers("sample_costs", sample_costs, float)
    results, sentence, code = judge_file(
        file,
        law,
        batch_size,
        sizes=None if sizes is None else numbers("sizes", sizes, int),
        class_counts=class_counts,
        remainder=remainder,
        delays=None if delays is None else numbers("delays", delays, float),
        delta=delta,
        concentration=concentration,
        pseudo_samples=pseudo_samples,
        reestimate=reestimate,
        assign=assign,
        sample_costs=costs if len(costs) > 1 else costs[0],
        slack=slack,
    )
    return print_results(results, sentence, code, json_)


@app.command()
def step(
    log: Annotated[Path, typer.Argument(help="JSON or .npz, as docs/oracle.md says.", parser=path)],
    modules: Annotated[
        str | None, option("PyTorch's, package.module:factory, instead of layers in the log.")
    ] = None,
    json_: Json = False,
) -> int:
    """Recompute a step, or an epoch's, that a running system has logged: what first differs?

    Example: pslref oracle step step.npz
    """
    from pslref.oracle.recompute import judge_log
    from pslref.oracle.report import VERDICTS, print_results

    halves = None
    if modules is not None:
        arguments.installed("torch", "recomputing modules")
        from pslref.oracle.torch import halves_of

        halves = halves_of(modules)
    results = judge_log(log, halves)
    wrong = [result.check for result in results if result.is_wrong]
    code = int(bool(wrong))
    said = f"{VERDICTS[code]}: the first difference is {wrong[0]}" if wrong else VERDICTS[code]
    return print_results(results, said, code, json_)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write them.", parser=path)],
) -> None:
    """Write the test vectors as a release: with a JSON Schema, a manifest, and how to use them.

    Example: pslref oracle export vectors
    """
    from pslref.oracle import vectors

    for file in vectors.export(folder):
        print(file)


def _generator(seed: int | None) -> "tuple[np.random.Generator, int]":
    import numpy as np

    drawn = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    arguments.integer("seed", drawn, 0)
    return np.random.default_rng(drawn), drawn


def _reasons(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if not all(pair.partition("=")):
            raise arguments.wrong("expect_failure", pair, "must be ID=REASON")
    return {name: reason for name, _, reason in (pair.partition("=") for pair in pairs)}


def _print_if_wrong(result: "Result") -> None:
    if result.is_wrong:
        print(f"{result.check}: {result.detail}", flush=True)
