"""Questions to samplers and to clients' shuffles, whose answers are random: tier three.

Every test's level is conservative, and all of them together take the alpha they are given. There
is no second try.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pslref.check import Array, FloatArray, IntArray
from pslref.oracle.backends import Backend
from pslref.oracle.class_targets import judge_targets
from pslref.oracle.distribution import judge
from pslref.oracle.operation import Values
from pslref.oracle.orders import judge_orders
from pslref.oracle.promises import whole
from pslref.oracle.result import Result

Question = Callable[[Backend, np.random.Generator, float], list[Result]]

CLASS_COUNTS = np.array([[9, 3, 0], [0, 4, 2], [5, 5, 5], [0, 0, 0], [1, 0, 12]])
DELAYS = np.array([1.0, 6.0, 1.5, 2.0, 1.0])
BATCH_SIZE = 8  # six steps, the last of them short
# Of two clients the standard deviation over K - 1 is 41 % larger.
TWO_CLIENTS, TWO_DELAYS = np.array([[20, 0], [4, 18]]), np.array([1.0, 3.0])


def schedules(
    sampler: str, remainder: str, number: int, class_counts: IntArray, delays: FloatArray,
    backend: Backend, rng: np.random.Generator, alpha: float,
) -> list[Result]:  # fmt: skip
    """Schedules by a sampler keep its promises, and follow its law. (method.md 3)"""
    delta = 1.0 if sampler == "lds" else 0.0
    given: Any = {"class_counts": class_counts, "delays": delays, "delta": delta}
    common: Any = {"batch_size": BATCH_SIZE, "remainder": remainder}
    inputs = {"sampler": sampler, "num_schedules": number, **given, **common}

    def judged(drawn: Any) -> list[Result]:
        options = given if sampler == "lds" else {}
        return judge(drawn, sampler, class_counts.sum(axis=1), alpha=alpha, **common, **options)

    seeded = sampler in ("ugs", "lds")
    return _ask(backend, rng, "sample", inputs, ["schedules"], judged, seeded)


def inputs_of(
    class_counts: Any, batch_size: int, delays: Any, sample_costs: Any = 0.0, slack: float = 0.0
) -> Values:
    """Of `class_targets`."""
    counts, d = np.array(class_counts), np.array(delays, np.float64)
    given = {"class_counts": counts, "batch_size": batch_size, "delays": d, "slack": slack}
    return {**given, "sample_costs": 0 * d + sample_costs, "remainder": "short"}


HELD = [[9, 3, 0, 1], [0, 4, 2, 0], [5, 5, 5, 0], [0, 0, 0, 0], [1, 0, 12, 1]]
APART = [1, 6, 1.5, 2, 3]  # delays without ties
TARGETS = ["targets", "local_class_counts"]
# Six steps, the last of them short; 3/8 of a sample of the rarest class.
SHORT = inputs_of(HELD, 9, APART)
EVEN = SHORT | {"remainder": "even"}
COSTLY = inputs_of(HELD, 9, APART, [0.3, 0.2, 0.15, 0.6, 0.1], slack=0.1)
SHUFFLE = inputs_of([[1, 0, 1], [0, 1, 0]], 1, [1, 2])  # for one sample of each class, it is one
# Client 1, the slowest, alone has class 3: all steps wait for it, so that they are one group.
ALONE = inputs_of([[18, 6, 0, 0], [0, 8, 4, 4], [10, 10, 10, 0], 4 * [0], [2, 0, 24, 0]], 6, APART)
# One plan alone is the shortest, and has no fractions: 4 steps until 8 with (1, 3, 1, 1, 0) samples
# of the clients, and 4 until 3 with (0, 1, 0, 0, 5).
ROOMS = inputs_of([[4], [16], [4], [4], [20]], 6, [6, 0, 1.5, 5.5, 0.5], [2, 2.5, 6, 2, 0.5])
# Likewise 20 steps that wait for client 2, with (7, 3) samples of the classes, and 20 with (3, 7).
SLACK = inputs_of([[60, 200], [0, 0], [140, 0]], 10, [1, 2, 10], slack=0.4)


def class_targets(
    draw: str, assign: str, number: int, inputs: Values, is_attained: bool,
    backend: Backend, rng: np.random.Generator, alpha: float,
) -> list[Result]:  # fmt: skip
    """Class targets keep their promises, and follow their law. (method.md 3.4)"""
    settings: Any = {"draw": draw, "assign": assign, **inputs}
    judged = partial(judge_targets, alpha=alpha, is_attained=is_attained, **settings)
    asked = settings | {"num_schedules": number}
    seeded = draw == "hypergeometric" or assign != "planned"  # or else it may round without chance
    return _ask(backend, rng, "class_targets", asked, TARGETS, judged, seeded)


OWNERS = np.array([0, 2, 1, 0, 0, 2, 1, 0, 2, 2, 0, 1, 0, 2, 1, 2])  # 6, 4 and 6 samples
LABELS = np.array([0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0])
LOCAL_CLASSES = np.array(  # every sample once in an epoch
    [
        [[1, 1], [0, 1], [1, 1]],
        [[1, 0], [2, 0], [0, 1]],
        [[2, 1], [0, 1], [0, 0]],
        [[0, 0], [0, 0], [2, 1]],
    ]
)
EPOCHS = 1000


def handed_out(
    op: str, labels: IntArray, steps: IntArray, inputs: Values,
    backend: Backend, rng: np.random.Generator, alpha: float,
) -> list[Result]:  # fmt: skip
    """Every client brings each of its own samples once an epoch, in a fresh uniform order.

    Where a step asks for so many samples of each class, `steps` (S, K, M), so it does of each.
    """
    num_classes = steps.shape[2]
    names = [f"class {m} of client {k}" for k, m in np.ndindex(steps.shape[1:])]
    if num_classes == 1:
        names = [f"client {k}" for k in range(steps.shape[1])]

    def judged(samples: IntArray) -> list[Result]:
        if samples.shape[1:] == OWNERS.shape and np.isin(samples, np.arange(OWNERS.size)).all():
            # A local batch may mix its classes; what counts is the order within each.
            sizes = steps.sum(axis=2)
            batch = np.repeat(np.arange(sizes.size), sizes.ravel())
            order = np.argsort(batch * num_classes + labels[samples], axis=1, kind="stable")
            samples = np.take_along_axis(samples, order, axis=1)
        owners, of_cells = OWNERS * num_classes + labels, steps.reshape(len(steps), -1)
        return judge_orders(op, samples, owners, of_cells, names, alpha)

    asked = {"owners": OWNERS, **inputs, "epochs": EPOCHS}
    return _ask(backend, rng, op, asked, ["samples"], judged)


def _ask(
    backend: Backend,
    rng: np.random.Generator,
    op: str,
    inputs: Values,
    outputs: Sequence[str],
    judged: Callable[..., list[Result]],
    seeded: bool = True,
) -> list[Result]:
    """Ask for half of the epochs with one seed, for the others with another; judge all together."""
    count = "num_schedules" if "num_schedules" in inputs else "epochs"
    half = inputs[count] // 2
    answers = [
        backend.run(op, {**inputs, count: half, "seed": int(seed)})
        for seed in rng.choice(2**31, 2, replace=False)
    ]
    joined: list[Array] = []
    for name in outputs:
        one, two = (whole(answer.get(name)) for answer in answers)
        if one is None or two is None:
            return [Result("form", op, "wrong", f"{name}: not given, or no array of whole numbers")]
        for part in (one, two):
            if not part.ndim or len(part) != half or part.shape[1:] != one.shape[1:]:
                how = f"{name} has shape {part.shape}, expected {half} epochs, all of one shape"
                return [Result("form", op, "wrong", how)]
        joined.append(np.concatenate([one, two]))
    results = judged(*joined)
    if seeded and all((array[:half] == array[half:]).all() for array in joined):
        tests = [i for i, one in enumerate(results) if one.p_value is not None]
        ignored = Result("seed", op, "wrong", "is ignored: two seeds give the same epochs")
        results.insert(min(tests, default=len(results)), ignored)
    return results


QUESTIONS: dict[str, tuple[str, Question]] = {
    "fls-short": ("sample", partial(schedules, "fls", "short", 20, CLASS_COUNTS, DELAYS)),
    "fpls-short": ("sample", partial(schedules, "fpls", "short", 20, CLASS_COUNTS, DELAYS)),
    "ugs-short": ("sample", partial(schedules, "ugs", "short", 1500, CLASS_COUNTS, DELAYS)),
    "ugs-even": ("sample", partial(schedules, "ugs", "even", 1500, CLASS_COUNTS, DELAYS)),
    "lds-short": ("sample", partial(schedules, "lds", "short", 300, 3 * CLASS_COUNTS, DELAYS)),
    "lds-even": ("sample", partial(schedules, "lds", "even", 400, TWO_CLIENTS, TWO_DELAYS)),
    "local-batches": ("local_batches", partial(
        handed_out, "local_batches", 0 * LABELS, LOCAL_CLASSES.sum(axis=2, keepdims=True),
        {"batch_sizes": LOCAL_CLASSES.sum(axis=2)},
    )),
    "local-class-batches": ("local_class_batches", partial(
        handed_out, "local_class_batches", LABELS, LOCAL_CLASSES,
        {"labels": LABELS, "local_class_counts": LOCAL_CLASSES},
    )),
}  # fmt: skip
QUESTIONS |= {
    name: ("class_targets", partial(class_targets, draw, assign, number, inputs, is_attained))
    for name, draw, assign, number, inputs, is_attained in [
        ("stratified-offsets", "stratified", "random", 900, SHUFFLE, False),
        ("hypergeometric-random", "hypergeometric", "random", 500, SHORT, False),
        ("hypergeometric-slowest-first", "hypergeometric", "slowest-first", 500, EVEN, False),
        ("stratified-random", "stratified", "random", 500, EVEN, False),
        ("stratified-slowest-first", "stratified", "slowest-first", 500, SHORT, False),
        ("planned-draw", "hypergeometric", "planned", 60, ALONE, False),
        ("planned-rounding", "stratified", "planned", 20, COSTLY, False),
        ("planned-rooms", "stratified", "planned", 4, ROOMS, True),
        ("planned-slack", "stratified", "planned", 4, SLACK, True),
    ]
}
