"""Kill training at random moments and take it up again: python -m tools.kill_and_resume --times 100

Every kill is SIGKILL to a process of its own. After each, the checkpoint must be, byte for byte,
one that training in one piece writes, and no earlier than the one before. When a run comes to its
end, all that it wrote must be what training in one piece writes, and the next run begins. Besides
the random moments, one run is killed at every point of a write in turn.
"""

import os
import signal
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from unittest import mock

import numpy as np

from pslref import data, files
from pslref.app import checkpoints
from pslref.app import train as training
from pslref.app.config import Config
from pslref.app.runs import Run

# Halves and velocities of their own, and a sampler that has the clients shuffle in mid-epoch.
CONFIG = Config(
    clients=6, epochs=3, hidden=(4,), sampler="targets", momentum=0.9,
    execution="clients", batch_size=128,
)  # fmt: skip


def train(folder: Path) -> None:
    training.train(CONFIG, checkpoint=folder, every=1, resume=True, out=folder / "out")


def die(*arguments: object, **more: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


WRITING = [  # what kills instead of doing its work, and where that leaves a write
    ("pslref.files._sync", lambda path: path.is_dir() and die(), "training"),  # it is renamed
    ("pathlib.Path.replace", die, "a write"),  # not renamed yet
    ("pslref.files._sync", die, "a write"),  # not on the disk either
    ("numpy.lib.format.write_array", die, "a write"),  # nothing but a name
]


def start(work: Callable[[], object]) -> int:
    """The process id of a child that does some work, and ends without what a parent would do."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def end(child: int, kill: bool = False) -> bool:
    """Whether a child came to its end, before the signal if there is one."""
    if kill:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), "training failed"
    return status == 0


class Tries:
    """Runs that are killed again and again, and what they must write.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps = {b"": 0}  # of each content that the checkpoint may have
        run = Run(CONFIG, data.load(CONFIG.dataset))
        for _ in run.steps():
            checkpoints.write(root / "checkpoint", run)
            self.steps[(root / "checkpoint").read_bytes()] = run.num_steps
        training.train(CONFIG, out=root / "whole")
        self.numbers = count()
        self.begin()

    def begin(self) -> None:
        self.folder, self.step = self.root / str(next(self.numbers)), 0

    def look(self) -> str:
        """Check the checkpoint; what the kill fell into."""
        path, before = self.folder / checkpoints.NAME, self.step
        self.step = self.steps[path.read_bytes() if path.exists() else b""]
        assert self.step >= before, "steps were lost"
        if list(self.folder.glob(f"{files.TEMPORARY}*")):
            return "a write"
        return "training" if self.step > before else "the beginning"

    def finish(self) -> None:
        """Check all that the run in hand has written, and begin another one."""
        assert sorted(path.name for path in self.folder.iterdir()) == [checkpoints.NAME, "out"]
        for path in (self.root / "whole").iterdir():
            assert (self.folder / "out" / path.name).read_bytes() == path.read_bytes(), (
                "another end"
            )
        self.begin()


def kill_and_resume(root: Path, times: int, seed: int) -> Counter[str]:
    """Kill so often, at moments that are uniform over a run; what every kill fell into."""
    rng, tries, fell = np.random.default_rng(seed), Tries(root), Counter[str]()
    for function, dying, where in WRITING:
        with mock.patch(function, dying):
            assert not end(start(lambda: train(tries.folder)))
        assert tries.look() == where
    began = time.monotonic()
    assert end(start(lambda: train(tries.folder)))
    duration = time.monotonic() - began
    tries.finish()
    while fell.total() < times:
        child = start(lambda: train(tries.folder))
        time.sleep(rng.uniform(0, duration))
        if end(child, kill=True):
            tries.finish()
        else:
            fell[tries.look()] += 1
    assert end(start(lambda: train(tries.folder)))
    tries.finish()
    return fell


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        fell = kill_and_resume(Path(name), arguments.times, arguments.seed)
    print(f"{fell.total()} kills, in {dict(fell)}: nothing was lost")
