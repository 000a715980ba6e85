"""Rules that plan an epoch, head to head. python -m tools.head_to_head CSV [DATA_DIR]

Beside the package's own: *flow* and *fast* after the abstract of LB-GPSL (arXiv 2609.32132), and
proportional quotas. 64 clients, B = 128, one client in eight ten times slower, three seeds: ten
classes of 5,000 on the severe split, where a sample costs nothing, a tenth or all of its client's
delay; the 200 classes of 500 of Tiny ImageNet on the mild split; and, with a folder of data sets,
Fashion-MNIST, on which an MLP is trained for two epochs by four of them. A row for each setting and
rule: means over the seeds, epoch time in % of that of UGS.
"""

import sys
from bisect import bisect_left
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import scipy.optimize  # noqa: F401 - planned imports it: now, before the clock runs
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from pslref import data, files, nn, split
from pslref.app.deviation import simulate
from pslref.check import FloatArray, IntArray
from pslref.partition import extended_dirichlet
from pslref.sampling import Schedule, Steps, lds, targets, ugs
from pslref.sampling.targets import Asked
from pslref.sampling.walks import demanded

SIZE, CLIENTS, SEEDS, EPOCHS = 128, 64, 3, 2
MEASURED = (
    *("time_percent", "max_deviation", "mean_deviation", "participants", "megabytes"),
    *("construction_seconds", "accuracy_percent"),
)
Case = tuple[IntArray, FloatArray, FloatArray, str]  # n_km, d_k, s_k, how targets are drawn


def flow(wanted: IntArray, left: IntArray, delays: FloatArray, costs: FloatArray) -> IntArray:
    """(K, M) one step of these class counts that ends as soon as any: [reading] of *flow*.

    A step can end by z if that many samples flow from classes over clients to what each has time
    for by z. Of the flows that can, it is the one that SciPy finds.
    """
    done = delays[:, np.newaxis] + costs[:, np.newaxis] * np.arange(1, wanted.sum() + 1)
    (num_clients, num_classes), (k, m) = left.shape, np.nonzero(np.minimum(left, wanted))
    source, sink = num_clients + num_classes, num_clients + num_classes + 1
    tails = np.concatenate([np.full(num_classes, source), num_clients + m, np.arange(num_clients)])
    heads = np.concatenate([num_clients + np.arange(num_classes), k, np.full(num_clients, sink)])

    def flowing(z: float) -> Any:
        limits = np.concatenate([wanted, np.minimum(left, wanted)[k, m], (done <= z).sum(axis=1)])
        cells = limits.astype(np.int32), (tails.astype(np.int32), heads.astype(np.int32))
        return maximum_flow(csr_array(cells, shape=(sink + 1, sink + 1)), source, sink)

    times = np.unique(done)
    place = bisect_left(times, wanted.sum(), key=lambda z: flowing(z).flow_value)
    brought = np.zeros_like(left)
    brought[k, m] = flowing(times[place]).flow[num_clients + m, k]
    return brought


def fast(wanted: IntArray, left: IntArray, delays: FloatArray, costs: FloatArray) -> IntArray:
    """(K, M) one step, sample by sample from whoever would complete it next: [reading] of *fast*.

    Next is the class of which most are still wanted; ties, also of clients, go by number.
    """
    brought, wanted, completed = np.zeros_like(left), wanted.copy(), delays + costs
    while wanted.any():
        m = int(np.argmax(wanted))
        k = int(np.argmin(np.where(brought[:, m] < left[:, m], completed, np.inf)))
        brought[k, m] += 1
        wanted[m] -= 1
        completed[k] = delays[k] + (brought[k].sum() + 1) * costs[k]
    return brought


def quotas(wanted: IntArray, left: IntArray, delays: FloatArray, costs: FloatArray) -> IntArray:
    """(K, 1) each client brings in proportion to what it has left, by largest remainder."""
    whole = int(left.sum())
    brought: IntArray = wanted.sum() * left // whole
    order = np.argsort(-(wanted.sum() * left % whole)[:, 0], kind="stable")  # ties by number
    brought[order[: wanted.sum() - brought.sum()]] += 1
    return brought


STEP_BY_STEP = {"quotas": quotas, "fast": fast, "flow": flow}
PLANNED = {"planned": 0.0, "planned-0.2": 0.2}  # the slack
TRAINED = ("ugs", "quotas", "flow", "planned")
RULES = ("ugs", "lds", "slowest-first", *STEP_BY_STEP, *PLANNED)


def planned(rule: str, case: Case, rng: np.random.Generator) -> Schedule:
    """An epoch by one of `RULES`."""
    counts, delays, costs, draw = case
    if rule == "ugs":
        return ugs(counts.sum(axis=1), SIZE, rng)
    if rule == "lds":
        return lds(counts, SIZE, rng, delays=delays, delta=1.0)
    asked: Any = {"delays": delays, "draw": draw}
    if rule in PLANNED:
        asked |= {"assign": "planned", "sample_costs": costs, "slack": PLANNED[rule]}
    if rule not in STEP_BY_STEP:
        return targets(counts, SIZE, rng, **asked)
    wanted, left = Asked(counts, SIZE, rng, **asked).class_targets(), counts.copy()
    if rule == "quotas":  # knows no classes
        wanted, left = wanted.sum(axis=1, keepdims=True), left.sum(axis=1, keepdims=True)
    local = np.zeros((len(wanted), *left.shape), np.int64)
    for of_step, now in zip(wanted, local, strict=True):
        now[:] = STEP_BY_STEP[rule](of_step, left, delays, costs)
        left -= now
    return Schedule(local.sum(axis=2), None if rule == "quotas" else local)


def rows_of(what: dict[str, Any], labels: IntArray, images: data.Dataset | None = None) -> Any:
    """A row for each rule of one setting, means over the seeds; given images, some are trained."""
    found = np.full((SEEDS, len(RULES), len(MEASURED)), np.nan)
    for seed, rows in enumerate(found):
        rng = np.random.default_rng([seed, 0])
        part = extended_dirichlet(labels, CLIENTS, what["classes_held"], 3.0, rng)
        delays = split.straggler_delays(CLIENTS, rng)
        counts, costs = part.class_counts, what["cost"] * delays
        case = counts, delays, costs, what["draw"]
        for row, rule in zip(rows, RULES, strict=True):
            rng, began = np.random.default_rng([seed, 1]), process_time()
            plan = planned(rule, case, rng)
            seconds = process_time() - began
            time = split.epoch_time(plan, delays, costs)
            deviation = simulate(Steps(demanded(plan), plan.num_steps, CLIENTS), counts, rng, 1)
            participants = np.count_nonzero(plan.batch_sizes) / plan.num_steps
            net = nn.mlp([784, 256, 128, 10], np.random.default_rng([seed, 2]), np.float32)
            megabytes = split.traffic(plan, net, 3, (28, 28, 1)).total / 1e6
            row[:-1] = time, deviation.max(), deviation.mean(), participants, megabytes, seconds
            if images is not None and rule in TRAINED:
                pooled: Any = {"rng": rng, "execution": "pooled"}
                run = split.Simulation(net, 3, images.x_train, labels, part, 0.05, **pooled)
                for _ in range(EPOCHS):
                    run.run_epoch(planned(rule, case, rng))
                row[-1] = 100 * run.evaluate(images.x_test, images.y_test)
        rows[:, 0] *= 100 / rows[0, 0]
    spread = found[:, :, -1:].std(axis=0, ddof=1)
    table = np.concatenate([found.mean(axis=0), spread], axis=1).round(4).tolist()
    for name, numbers in zip(RULES, table, strict=True):
        values = [None if np.isnan(value) else value for value in numbers]
        yield what | {"rule": name} | dict(zip([*MEASURED, "accuracy_std"], values, strict=True))


def main(path: Path, data_dir: Path | None) -> None:
    ten, many = np.repeat(np.arange(10), 5_000), np.repeat(np.arange(200), 500)
    tenth = {"classes_held": 2, "cost": 0.1, "draw": "stratified"}
    settings: list[Any] = [({"setting": "severe"} | tenth | {"cost": c}, ten) for c in (0, 0.1, 1)]
    as_many = {"classes_held": 5, "draw": "hypergeometric"}
    settings.append(({"setting": "tiny-imagenet"} | tenth | as_many, many))
    if data_dir is not None:
        images = data.load("fashion-mnist", data_dir, np.float32)
        settings.append(({"setting": "fashion-mnist"} | tenth, images.y_train, images))
    rows: list[dict[str, Any]] = []
    for setting in settings:
        for row in rows_of(*setting):
            rows.append(row)
            print(*row.values(), flush=True)
        files.write_csv(path, rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
