"""Backend: what an implementation must offer to be checked; and one behind a pipe."""

import json
import os
import select
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import numpy as np

from pslref import check
from pslref.oracle.codec import decode, encode

Values = dict[str, Any]
START_LIMIT = 60.0  # seconds to introduce itself: frameworks take long to import
LONGEST_WAIT = 1e6  # seconds
MOST_BYTES = 2**24  # of an answer


class Spec(NamedTuple):
    """Who answers, and the precision of its network: "float32" or "float64"."""

    name: str
    dtype: str = "float64"


class Unsupported(Exception):
    """An implementation cannot do this case of an operation; it says why."""


class Broken(ValueError):
    """An implementation gave no answer: it died or wrote something that is none."""


class Hung(Broken):
    """It did not answer in time."""


class Backend(Protocol):
    """An implementation of parallel split learning, or of a part of it."""

    spec: Spec

    def capabilities(self) -> Collection[str]:
        """The names of the operations it has, of `pslref.oracle.ops.OPS`."""

    def run(self, op: str, inputs: Values) -> Values:
        """The outputs of an operation, by name; arrays are NumPy's.

        Raises:
            Unsupported: if this case is beyond the implementation.
            Exception: any other, for inputs that are invalid.
        """


class CommandBackend:
    """An implementation in any language: a program that answers JSON lines on its stdout.

    Args:
        command: the program and its arguments, as a list or as for a shell.
        time_limit: seconds that one answer may take.

    Raises:
        ValueError: for a command that is empty, or another time limit.
        Broken: if the program does not introduce itself.
    """

    def __init__(self, command: str | Sequence[str], time_limit: float = 10.0) -> None:
        try:
            self.command = shlex.split(command) if isinstance(command, str) else list(command)
        except ValueError:  # quotes that do not close
            self.command = []
        if not self.command:
            raise check.wrong("command", command, "must be a program and its arguments")
        self.time_limit = check.real("time_limit", time_limit, 0, LONGEST_WAIT, low_open=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.calls = 0
        try:
            hello = self._ask("hello", {}, max(time_limit, START_LIMIT))
        except (Unsupported, ValueError) as error:
            raise self._no_backend(error) from None
        names, dtype = hello.get("capabilities"), str(hello.get("dtype"))
        if not isinstance(names, list) or dtype not in ("float32", "float64"):
            raise self._no_backend(
                "it must have capabilities, a list of names, and a dtype, float32 or float64"
            )
        self.spec = Spec(str(hello.get("name", self.command[-1])), dtype)
        self.names = [str(name) for name in names]

    def capabilities(self) -> Collection[str]:
        """What the program said it has."""
        return self.names

    def run(self, op: str, inputs: Values) -> Values:
        """Ask the program, which is started again if it has ended."""
        return self._ask(op, inputs, self.time_limit)

    def close(self) -> None:
        """End the program."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # what it did not read is written now
                        pipe.close()
            self.errors.close()
            self.process = None

    def _no_backend(self, reason: object) -> Broken:
        self.close()
        return Broken(str(check.wrong("command", self.command, f"must answer hello, but {reason}")))

    def _start(self) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
            )
        except (OSError, ValueError) as error:
            self.errors.close()
            raise Broken(f"could not be started: {error}") from None
        self.unread = b""

    def _ask(self, op: str, inputs: Values, time_limit: float) -> Values:
        if self.process is None:
            self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        self.calls += 1
        request = json.dumps({"id": self.calls, "op": op, "inputs": encode(inputs)})
        # In a thread, since a program that does not read would block the write as well.
        threading.Thread(
            target=_write, args=(self.process, request.encode() + b"\n"), daemon=True
        ).start()
        line = self._read_line(self.process, time_limit)
        try:
            answer = json.loads(line)
            outputs = decode(answer.get("outputs"))
        except (ValueError, AttributeError, RecursionError) as error:
            self.close()
            raise Broken(f"wrote {line[:60]!r}, which is no answer: {error}") from None
        if answer.get("id") != self.calls:
            self.close()
            raise Broken(f"answered id {answer.get('id')!r} to the request with id {self.calls}")
        if "unsupported" in answer:
            raise Unsupported(str(answer["unsupported"]))
        if "error" in answer:
            raise ValueError(str(answer["error"]))
        if not isinstance(outputs, dict):
            raise Broken("an answer must have outputs, an error, or unsupported")
        return outputs

    def _read_line(self, process: "subprocess.Popen[bytes]", time_limit: float) -> bytes:
        """The next line; what comes after it is kept."""
        assert process.stdout is not None
        pieces, deadline = [self.unread], time.monotonic() + time_limit
        while b"\n" not in pieces[-1]:
            wait = max(0.0, deadline - time.monotonic())
            if not select.select([process.stdout], [], [], wait)[0]:
                self.close()
                raise Hung(f"did not answer within {time_limit:g} s")
            pieces.append(os.read(process.stdout.fileno(), 2**16))
            if not pieces[-1]:
                code, said = process.wait(), self._last_words()
                self.close()
                raise Broken(f"died with exit code {code}{said}")
            if sum(map(len, pieces)) > MOST_BYTES:
                self.close()
                raise Broken(f"wrote more than {MOST_BYTES} bytes without an end")
        line, _, self.unread = b"".join(pieces).partition(b"\n")
        return line

    def _last_words(self) -> str:
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - 2000))
        words = self.errors.read().decode(errors="replace").strip().splitlines()
        return f": {words[-1]}" if words else ""


def _write(process: "subprocess.Popen[bytes]", request: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(request)
        process.stdin.flush()
    except (OSError, ValueError):  # it died or was ended: whoever waits for the answer sees that
        pass


def as_arrays(outputs: Any) -> Any:
    """Outputs with every array and number as NumPy's own, for a comparison."""
    if isinstance(outputs, dict):
        return {name: as_arrays(value) for name, value in outputs.items()}
    if isinstance(outputs, list) and all(isinstance(entry, dict) for entry in outputs):
        return [as_arrays(entry) for entry in outputs]
    try:
        return np.asarray(outputs)
    except ValueError:  # rows of different lengths
        return np.array(None)
