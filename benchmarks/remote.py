"""Clients on workers: time on the clock against `epoch_time`, bytes against `traffic`.

python -m benchmarks.remote, which needs Dask.
"""

import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

import numpy as np

from benchmarks import report
from pslref.app.config import Config
from pslref.app.runs import Run
from pslref.app.scenario import dataset_of
from pslref.app.workers import simulations
from pslref.split import Client, ClientHalf, SmashedBatch, Traffic

CONFIG = Config(
    clients=8, batch_size=128, epochs=1, fraction=0.25, slowdown=4, sample_cost=0.02, seed=4,
    execution="clients",
)  # fmt: skip
SAMPLERS = ("ugs", "lds", "targets")
UNITS = (0.25, 1.0)  # seconds, the delay of the fastest possible client
RATE = 1e6  # bytes a second of every client's link, one message after the other


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
            if name == "forward":
                down, samples = ClientHalf(self.network.parameters()).nbytes, len(given)
            else:
                down, samples = given.nbytes, len(given.gradient)
            cross(self.client, down)
            sleep((delays[self.client] + samples * costs[self.client]) / 2)
            answer = whole(self, given)
            cross(self.client, answer.nbytes)
            return answer

        return call

    for name in ("forward", "backward"):
        setattr(Client, name, slowed(name))


def epoch(kind: Callable[..., Any], config: Config, unit: float) -> tuple[Run, list[float], int]:
    """One epoch: the run, the seconds of its steps, and the bytes of its messages as pickled."""
    dataset = dataset_of(config)
    run = Run(config, dataset, kind)
    delays, costs = unit * run.clients.delays, unit * run.clients.sample_costs
    run.simulation.cluster.run(slow_down, delays, costs, RATE if unit else np.inf)
    if unit:
        half = run.simulation.server.client_half
        x, _ = half.forward(dataset.x_train[:1])
        sample = SmashedBatch(0, x, dataset.y_train[:1]).nbytes + x.nbytes
        delays += 2 * ClientHalf(half.parameters()).nbytes / RATE
        run.clients = replace(run.clients, delays=delays, sample_costs=costs + sample / RATE)
    sizes, whole = [], run.simulation.arrived

    def counted(answers: Iterable[Any]) -> list[Any]:
        asked = list(answers)
        found = list(whole(asked))
        sizes.extend(len(pickle.dumps(message, protocol=5)) for message in (*asked, *found))
        return found

    if not unit:
        run.simulation.arrived = counted
    times = [monotonic(), *(monotonic() for _ in run.steps())]
    return run, np.diff(times).tolist(), sum(sizes)


def measured() -> str:
    """The table and what a step takes without sleep."""
    head = ("sampler", "steps", "clients a step", "predicted, s", "on the clock, s", "error")
    rows = [[*head, "overhead a step, s", "error beyond it", "MB, predicted", "MB, pickled"]]
    participants, seconds = [], []
    with simulations(CONFIG, remote=True, workers=3) as kind:
        for sampler in SAMPLERS:
            config = replace(CONFIG, sampler=sampler)
            run, times, pickled = epoch(kind, config, 0)
            steps = run.history[0]
            sent = sum(steps[name].sum() for name in Traffic._fields)
            participants += steps["num_participants"].tolist()
            seconds += times
            slowed = [epoch(kind, config, unit) for unit in UNITS]
            predicted = [run.epochs["time"][0] for run, _, _ in slowed]
            clock = [sum(times) for _, times, _ in slowed]
            slope = (clock[1] - clock[0]) / (predicted[1] - predicted[0])
            overhead = (clock[1] - slope * predicted[1]) / len(steps)
            clients = f"{steps['num_participants'].mean():.1f}"
            errors = [f"{100 * (ratio - 1):+.1f} %" for ratio in (clock[1] / predicted[1], slope)]
            rows.append(
                [
                    *(sampler, str(len(steps)), clients),
                    *(f"{predicted[1]:.1f}", f"{clock[1]:.1f}", errors[0]),
                    *(f"{overhead:.3f}", errors[1]),
                    *(f"{sent / 1e6:.2f}", f"{pickled / 1e6:.2f}"),
                ]
            )
    each, step = np.polyfit(participants, seconds, 1)
    without = f"Without sleep a step takes {1e3 * step:.0f} ms and {1e3 * each:.0f} ms"
    return f"{report.table(rows)}\n\n{without} more for each participant."


if __name__ == "__main__":
    machine = report.machine()
    report.write("remote", f"{machine}\n\n{measured()}")
