"""A Python backend behind a pipe: `python -m pslref.oracle.serve package.module:factory`.

So a backend that hangs or dies is reported as that, and cannot take the check with it.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

from pslref import check
from pslref.oracle.backends import Asked, Backend, Unsupported, described
from pslref.oracle.codec import decode, encode


def load(name: str, argument: str = "backend", use: str = "capabilities") -> Any:
    """What `package.module:factory` makes, found in the current folder too; it can do `use`.

    Raises:
        ValueError: if the name has another form, or the module has no such factory.
    """
    module, colon, factory = name.partition(":")
    allowed = "must be package.module:factory"
    if not all((module, colon, factory)):
        raise check.wrong(argument, name, allowed)
    sys.path.insert(0, os.getcwd())
    try:
        made = getattr(import_module(module), factory)()
        getattr(made, use)()
    except Exception as error:
        raise check.wrong(argument, name, f"{allowed}, but {described(error)}") from error
    return made


def answer(backend: Backend, op: str, inputs: Any) -> dict[str, Any]:
    """What the backend says to one request."""
    if op == "hello":
        asked = Asked(backend)
        return {"outputs": {**asked.spec._asdict(), "capabilities": asked.capabilities()}}
    try:
        return {"outputs": encode(backend.run(op, decode(inputs)))}
    except Unsupported as error:
        return {"unsupported": str(error)}
    except BaseException as error:  # there is no user at this end of the pipe
        return {"error": described(error)}


def main() -> None:
    """Answer the requests on stdin, line by line, on stdout; what the backend prints is not one."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["op"] == "hello":
                backend = load(sys.argv[1])
            said = answer(backend, request["op"], request["inputs"])
        except ValueError as error:  # it cannot be made
            said = {"error": str(error)}
        answers.write(json.dumps({"id": request["id"], **said}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
