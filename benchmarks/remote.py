"""Clients on workers: time on the clock against `epoch_time`, bytes against `traffic`.

python -m benchmarks.remote, which needs Dask.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

import numpy as np

from benchmarks import report
from pslref.app.config import Config
from pslref.app.runs import Run
from pslref.app.scenario import dataset_of
from pslref.app.workers import simulations
from pslref.split import Client, ClientHalf, SmashedBatch

CONFIG = Config(clients=16, epochs=1, slowdown=5, sample_cost=0.02, execution="clients")
SAMPLERS = ("ugs", "lds", "targets")
UNIT = 0.2  # seconds, the delay of the fastest possible client
RATE = 1e6  # bytes a second of every client's link, each way one after the other


def slow_down(delays: np.ndarray, costs: np.ndarray, rate: float) -> None:
    """On a worker: its clients sleep, half in each pass, and their links count bytes."""
    free: dict[int, float] = {}  # when a client's link is free again

    def cross(k: int, nbytes: int) -> None:
        now = monotonic()
        free[k] = max(free.get(k, now), now) + nbytes / rate
        sleep(free[k] - now)

    def slowed(name: str) -> Callable[[Client, Any], Any]:
        whole = getattr(Client, f"whole_{name}", getattr(Client, name))
        setattr(Client, f"whole_{name}", whole)

        def call(self: Client, given: Any) -> Any:
            forth = name == "forward"
            down = ClientHalf(self.network.parameters()).nbytes if forth else given.nbytes
            samples = len(given if forth else given.gradient)
            cross(self.client, down)
            sleep((delays[self.client] + samples * costs[self.client]) / 2)
            answer = whole(self, given)
            cross(self.client, answer.nbytes)
            return answer

        return call

    for name in ("forward", "backward"):
        setattr(Client, name, slowed(name))


def pickled(kind: Callable[..., Any], config: Config) -> tuple[int, int, int]:
    """One epoch: bytes as pickled, bytes by `traffic`, and messages."""
    sizes: list[int] = []
    run = Run(config, dataset_of(config), kind)
    whole = run.simulation.arrived

    def counted(answers: Any) -> Any:
        asked = list(answers)
        found = list(whole(asked))
        sizes.extend(len(pickle.dumps(message, protocol=5)) for message in (*asked, *found))
        return found

    run.simulation.arrived = counted  # type: ignore[method-assign]
    for _ in run.steps():
        pass
    return sum(sizes), run.records[0].traffic.total, len(sizes)


def lines() -> Iterator[list[str]]:
    """The table, line by line."""
    yield [
        *("sampler", "steps", "clients a step", "predicted, s", "on the clock, s", "error"),
        *("overhead a step, ms", "error beyond it", "bytes, predicted", "as pickled"),
    ]
    dataset = dataset_of(CONFIG)
    with simulations(CONFIG, remote=True, workers=3) as kind:
        cluster = kind.keywords["cluster"]  # type: ignore[attr-defined]
        for sampler in SAMPLERS:
            config = replace(CONFIG, sampler=sampler)
            seconds = []
            for slow in (True, False):
                run = Run(config, dataset, kind)
                half = run.simulation.server.send()
                x, _ = run.simulation.server.client_half.forward(dataset.x_train[:1])
                sample = SmashedBatch(0, x, dataset.y_train[:1]).nbytes + x.nbytes
                delays, costs = UNIT * run.clients.delays, UNIT * run.clients.sample_costs
                run.clients = replace(
                    run.clients,
                    delays=delays + 2 * half.nbytes / RATE,
                    sample_costs=costs + sample / RATE,
                )
                if slow:
                    cluster.run(slow_down, delays, costs, RATE)
                else:
                    cluster.run(slow_down, 0 * delays, 0 * costs, np.inf)
                began = monotonic()
                for _ in run.steps():
                    pass
                seconds.append(monotonic() - began)
            (clock, overhead), predicted = seconds, run.times[0]
            steps, participants = len(run.records[0].loss), run.records[0].num_participants
            on_wire, by_traffic, messages = pickled(kind, config)
            yield [
                *(sampler, str(steps), f"{participants.mean():.1f}"),
                *(f"{predicted:.1f}", f"{clock:.1f}", f"{100 * (clock / predicted - 1):+.1f} %"),
                f"{1e3 * overhead / steps:.0f}",
                f"{100 * ((clock - overhead) / predicted - 1):+.1f} %",
                *(f"{by_traffic:,}", f"+ {(on_wire - by_traffic) / messages:.0f} a message"),
            ]


if __name__ == "__main__":
    machine = report.machine()
    report.write("remote", f"{machine}\n\n{report.table(lines())}")
