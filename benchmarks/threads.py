"""What more threads are worth, to pslref and to PyTorch: python -m benchmarks.threads."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from time import perf_counter

import numpy as np

from benchmarks import report, step

# A network of `step.network`, its batch size, and for how many rounds there is patience.
CASES = (
    *(("mlp", 128, 20), ("mlp", 1024, 10), ("mlp of 2048", 128, 8)),
    *(("cnn", 128, 8), ("cnn", 1024, 3), ("resnet", 128, 3)),
)
STEPS = 3  # of a round
CONTESTANTS = ("pooled", "fused", "fused, channels last")


def run(contestant: str, model: str, batch_size: int, rounds: int) -> None:
    """For each line that is read, take some steps, the first to warm up; print a step's seconds."""
    net = step.network(model, np.random.default_rng(0))
    steps = step.contestants(net, step.CUTS[model], 16, rounds * (STEPS + 1), batch_size)
    for first in range(0, rounds * (STEPS + 1), STEPS + 1):
        input()
        steps[contestant](first)
        start = perf_counter()
        for t in range(first + 1, first + 1 + STEPS):
            steps[contestant](t)
        print((perf_counter() - start) / STEPS, flush=True)


def race(case: tuple[str, int, int], threads: Sequence[int]) -> step.Times:
    """Seconds of the contestants with each number of threads, as "1 pooled" and so on.

    Each has a process of its own, since the number is one of a process; they take turns.
    """
    with ExitStack() as stack:
        processes = {
            f"{n} {contestant}": stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.threads", contestant, *map(str, case)],
                    env=os.environ | {"OPENBLAS_NUM_THREADS": str(n)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for n in threads
            for contestant in CONTESTANTS
        }
        rounds = [list(map(_turn, processes.values())) for _ in range(case[2])]
    return dict(zip(processes, np.transpose(rounds).tolist(), strict=True))


def _turn(process: "subprocess.Popen[str]") -> float:
    assert process.stdin
    assert process.stdout
    print(file=process.stdin, flush=True)
    return float(process.stdout.readline())


def lines(cases: Sequence[tuple[str, int, int]], threads: int) -> Iterator[list[str]]:
    """The table, line by line."""
    pairs = [(f"{n} pooled", f"{n} {name}") for n in (1, threads) for name in CONTESTANTS[1:]]
    compared = [(f"{threads} pooled", "1 pooled"), *pairs]
    yield ["model", "B", "ms a step", *(f"{one}, of {other}" for one, other in compared)]
    for case in cases:
        times = race(case, (1, threads))
        ratios = [step.ratio(times, *pair) for pair in compared]
        yield [case[0], str(case[1]), f"{1e3 * np.median(times['1 pooled']):.1f}", *ratios]


if __name__ == "__main__":
    if sys.argv[1:]:
        run(*sys.argv[1:3], *map(int, sys.argv[3:]))
    else:
        cores = os.cpu_count() or 1
        machine = report.machine(f"1 or {cores} threads")
        report.write("threads", f"{machine}\n\n{report.table(lines(CASES, cores))}")
