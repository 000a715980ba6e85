"""How sharp are the tests? Change the code in one place and see them fail: `make mutants`.

mutmut makes all mutants of the method (sampling, theory, nn, split) and of the face (runs,
planning, experiments, plots, terminal, sweep, printed, results, versions): each has one other
operator, number, text or argument. A seeded sample of either is run, each mutant against those
tests that reach the changed function (of the method, those of its own room and of wrong
arguments), the quickest first, up to the first failure. Those that survive are shown, and fewer
than 95 % killed is an error. All happens in the folder `mutants`, made anew.
"""

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code

FOLDER = Path("mutants")
NUMBER, SEED = {"method": 400, "face": 200}, 0
FACE = ("runs", "scenario", "planning", "experiments", "plots", "terminal", "sweep")
FACE += ("printed", "results", "versions")
MUTMUT = [sys.executable, "-m", "mutmut"]
ANY_ONE = "pslref.nn.loss.x_cross_entropy__mutmut_1"
KILLED = ("killed", "timeout", "segfault")  # one that never ends, or crashes, is found out too


def keep_to_own_rooms() -> None:
    """Of the tests that reach a function of the method, forget those of other rooms.

    Refusals are all in one file, which is every room's.
    """
    path = FOLDER / "mutmut-stats.json"
    stats = json.loads(path.read_text())
    reaching = stats["tests_by_mangled_function_name"]
    for function, tests in reaching.items():
        room = function.split(".")[1]
        if room not in FACE:
            own = (f"tests/{room}/", "tests/test_wrong_arguments.py")
            reaching[function] = [test for test in tests if test.startswith(own)]
    path.write_text(json.dumps(stats))


def statuses() -> dict[str, str]:
    """The mutants by name: "killed", "timeout", "survived", "no tests", ..."""
    codes: dict[str, int] = {}
    for path in sorted((FOLDER / "pslref").rglob("*.meta")):
        codes |= json.loads(path.read_text())["exit_code_by_key"]
    return {name: status_by_exit_code[code] for name, code in codes.items()}


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run([*MUTMUT, "run", ANY_ONE], check=True)  # makes all, and sees who reaches what
    keep_to_own_rooms()
    mutants: dict[str, list[str]] = {"method": [], "face": []}
    for name in sorted(statuses()):
        mutants["face" if name.split(".")[1] in FACE else "method"].append(name)
    samples = {
        part: sorted(random.Random(SEED).sample(names, NUMBER[part]))
        for part, names in mutants.items()
    }
    subprocess.run([*MUTMUT, "run", *samples["method"], *samples["face"]], check=True)
    all_statuses, dull = statuses(), False
    for part, sample in samples.items():
        found = {name: all_statuses[name] for name in sample}
        survivors = [name for name, status in found.items() if status not in KILLED]
        for name in survivors:
            subprocess.run([*MUTMUT, "show", name], check=True)
        killed = 1 - len(survivors) / len(found)
        dull |= killed < 0.95
        of = f"{len(found)} of {len(mutants[part])} mutants, seed {SEED}"
        print(f"{part}: {of}: {killed:.1%} killed")
        print(dict(Counter(found.values())))
    return int(dull)


if __name__ == "__main__":
    sys.exit(main())
