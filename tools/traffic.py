"""What does every sampler send, with a heavy and a light client half? python -m tools.traffic CSV

Ten classes of 6,000, the severe split, 16, 64 and 128 clients, B = 128, one client in eight ten
times slower, three seeds; images of 28 × 28 in float32, cut = 3. The client half of the MLP
784-256-128-10 has 804 kB, that of the CNN 640 bytes. A row for each network, sampler, K and seed:
megabytes by kind, and the participations of an epoch beside the fewest that its steps and clients
or, of class targets, its steps' classes need (method.md 1.1). The tables show the megabytes of an
epoch and the participants per step, over the seeds.
"""

import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from pslref import files
from pslref.app.config import SAMPLERS, Config
from pslref.app.scenario import Clients, draw_steps, network, partition_of, random_streams
from pslref.sampling import Steps
from pslref.sampling.walks import demanded
from pslref.split import straggler_delays, traffic

SHAPE, NETWORKS = (28, 28, 1), {"mlp": (256, 128), "cnn": (64,)}
CLIENTS, SEEDS = (16, 64, 128), 3


def rows_of(config: Config, equal: bool) -> list[dict[str, Any]]:
    """A row for each network, of one schedule; for clients that are equally slow, if asked."""
    streams = random_streams(config.seed)
    part = partition_of(config, np.repeat(np.arange(10), 6_000), streams["partition"])
    k = config.clients
    delays = np.ones(k) if equal else straggler_delays(k, streams["delays"])
    clients = Clients(part.class_counts, delays, np.zeros(k), range(k), range(10), SHAPE)
    steps = list(demanded(draw_steps(config, clients, streams["schedule"])))
    participations = sum(len(who) for who, _ in steps)
    fewest = max(len(steps), int(np.count_nonzero(part.sizes)))
    if steps[0][1].shape[1] == 10:
        most_classes = (part.class_counts > 0).sum(axis=1).max()
        needed = [-(-np.count_nonzero(counts.sum(axis=0)) // most_classes) for _, counts in steps]
        fewest = max(fewest, int(np.sum(needed)))
    sampler = config.sampler + (", equally slow" if equal else "")
    rows = []
    for model, hidden in NETWORKS.items():
        asked = Config(model=model, hidden=hidden, dtype="float32")
        net = network(asked, SHAPE, 10, np.random.default_rng(0))
        sent = traffic(Steps(iter(steps), len(steps), k), net, 3, SHAPE)
        by_kind = {name: float(kind.sum()) / 1e6 for name, kind in sent._asdict().items()}
        which = {"model": model, "sampler": sampler, "clients": k, "seed": config.seed}
        found = {"steps": len(steps), "participations": participations, "fewest": fewest}
        rows.append({**which, **found, **by_kind, "megabytes": sent.total / 1e6})
    return rows


def main(path: Path) -> None:
    schedules = [*((sampler, False) for sampler in SAMPLERS[1:]), ("stratified", True)]
    rows = [
        row
        for k, seed, (sampler, equal) in product(CLIENTS, range(SEEDS), schedules)
        for row in rows_of(Config(clients=k, seed=seed, sampler=sampler, batch_size=128), equal)
    ]
    files.write_csv(path, rows)
    for model in NETWORKS:
        print(f"\n| {model} |", " | ".join(f"K = {k} | P (fewest)" for k in CLIENTS), "|")
        print("|---" * (2 * len(CLIENTS) + 1) + "|")
        for sampler in dict.fromkeys(row["sampler"] for row in rows):
            cells = []
            for k in CLIENTS:
                place = (model, sampler, k)
                of = [r for r in rows if (r["model"], r["sampler"], r["clients"]) == place]
                sent = np.array([row["megabytes"] for row in of])
                spread = 100 * (sent.max() - sent.min()) / 2 / sent.mean()
                needed, fewest = (
                    np.mean([row[name] / row["steps"] for row in of])
                    for name in ("participations", "fewest")
                )
                cells.append(f"{sent.mean():,.0f} ± {spread:.1f} % | {needed:.1f} ({fewest:.1f})")
            print(f"| {sampler} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
