"""How sharp are the tests? Change the code in one place and see them fail: `make mutants`.

mutmut makes the mutants of sampling, theory, nn and split: another operator, number, text or
argument. A seeded sample of them is run, each against those tests of its own room that reach the
changed function, the quickest first, up to the first failure. Who survives is shown; fewer than
95 % killed is an error. All happens in the folder `mutants`, which is made anew.
"""

import json
import random
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

from mutmut.stats import status_by_exit_code

FOLDER = Path("mutants")
SEED = 0
MUTMUT = [sys.executable, "-m", "mutmut"]
ANY_ONE = "pslref.nn.loss.x_cross_entropy__mutmut_1"


def statuses() -> dict[str, str]:
    """The mutants by name: "killed", "survived", "timeout" (it never ends), "no tests" ..."""
    codes: dict[str, int | None] = {}
    for path in sorted((FOLDER / "pslref").rglob("*.meta")):
        codes |= json.loads(path.read_text())["exit_code_by_key"]
    return {name: status_by_exit_code[code] for name, code in codes.items()}


def keep_to_own_rooms() -> None:
    """Of the tests that reach a function, forget those of other rooms than its own."""
    path = FOLDER / "mutmut-stats.json"
    stats = json.loads(path.read_text())
    reaching = stats["tests_by_mangled_function_name"]
    for function, tests in reaching.items():
        room = function.split(".")[1]
        reaching[function] = [test for test in tests if test.startswith(f"tests/{room}/")]
    path.write_text(json.dumps(stats))


def main(number: int) -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run([*MUTMUT, "run", ANY_ONE], check=True)  # makes all, and sees who reaches what
    keep_to_own_rooms()
    mutants = sorted(statuses())
    sample = random.Random(SEED).sample(mutants, min(number, len(mutants)))
    subprocess.run([*MUTMUT, "run", *sample], check=True)
    found = statuses()
    survivors = [name for name in sorted(sample) if found[name] not in ("killed", "timeout")]
    for name in survivors:
        subprocess.run([*MUTMUT, "show", name], check=True)
    killed = 1 - len(survivors) / len(sample)
    print(f"{len(sample)} of {len(mutants)} mutants, seed {SEED}: {killed:.1%} killed")
    return int(killed < 0.95)


if __name__ == "__main__":
    parser = ArgumentParser(description="Mutation testing of sampling, theory, nn and split.")
    parser.add_argument("--number", type=int, default=400, help="how many mutants")
    sys.exit(main(parser.parse_args().number))
