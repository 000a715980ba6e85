"""Kill a worker in the middle of a step: python -m tools.kill_worker

Three worker processes hold the 16 clients of a severe split of digits. One is killed after its
clients have sent their activations, and before any gradient comes back. Training goes on without
them. Then the outage is simulated at the same place, in this process.
"""

import os
import signal
import warnings

from pslref.app.config import Config
from pslref.app.runs import Run
from pslref.app.scenario import dataset_of
from pslref.app.train import train
from pslref.app.workers import simulations

CONFIG = Config(clients=16, epochs=5, execution="clients")
STEP = 40  # is the last one before the kill


def main() -> None:
    warnings.filterwarnings("ignore", "clients .* are gone")  # which is printed at the end
    with simulations(CONFIG, remote=True, workers=3) as kind:

        def kill_in_next_step(run: Run, epochs_done: float) -> None:
            server = run.simulation.server
            if run.num_steps == STEP:
                step = server.step
                pids = list(run.simulation.cluster.run(os.getpid).values())

                def killing(smashed):
                    os.kill(pids[0], signal.SIGKILL)
                    server.step = step
                    return step(smashed)

                server.step = killing

        there = train(CONFIG, kind=kind, after_step=kill_in_next_step)
    gone = [outage.client for outage in there.outages]
    print(f"worker killed in step {there.outages[0].start}, with clients {gone}")
    for epoch, row in enumerate(there.epochs):
        steps = f"{row['num_committed']} steps, {row['num_aborted']} not committed"
        left = f"{row['num_unused']} unreachable, {100 * row['test_accuracy']:.1f} %"
        print(f"epoch {epoch}: {steps}, {left}")
    here = Run(CONFIG, dataset_of(CONFIG))
    here.outages.extend(there.outages)
    for _ in here.steps():
        pass
    arrays = there.state()
    same = all(array.tobytes() == arrays[name].tobytes() for name, array in here.state().items())
    print(f"weights, losses, schedules and shuffles equal the simulated outage's: {same}")
    assert same


if __name__ == "__main__":
    main()
