"""An implementation in any language, behind a pipe: requests and answers are lines of JSON."""

import json
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from pslref import check
from pslref.oracle.backends import Broken, Hung, Refused, Spec, Unsupported, plain
from pslref.oracle.codec import decode, encode
from pslref.oracle.operation import ROUNDOFF, Values

START_LIMIT = 60.0  # seconds to introduce itself: frameworks take long to import
TIME_LIMIT = 10.0  # seconds for any other answer
END_LIMIT = 2.0  # seconds to be gone, once stdout is closed or it was killed
LONGEST_WAIT = 1e6  # seconds
LAST_WORDS = 800  # bytes of stderr that are shown
MOST_BYTES = 2**24  # of an answer

Answer = tuple[bytes, Any]  # the line, and what it says, or the error in reading it


class CommandBackend:
    """An implementation in any language: a program that answers JSON lines on its stdout.

    Args:
        command: the program and its arguments, as a list or as for a shell.
        time_limit: seconds that one answer may take, decoding it included. Without one, the answer
            to hello may take 60 and every other 10, since frameworks take long to import.

    Raises:
        ValueError: for a command that is empty, or another time limit; and with what the program
            says, if it answers hello with an error.
        Broken: if the program does not introduce itself.
    """

    def __init__(self, command: str | Sequence[str], time_limit: float | None = None) -> None:
        try:
            self.command = shlex.split(command) if isinstance(command, str) else list(command)
        except ValueError:  # quotes that do not close
            self.command = []
        if not self.command:
            raise check.wrong("command", command, "must be a program and its arguments")
        self.start_limit, self.time_limit = START_LIMIT, TIME_LIMIT
        if time_limit is not None:
            limit = check.real("time_limit", time_limit, 0, LONGEST_WAIT, low_open=True)
            self.start_limit = self.time_limit = limit
        self.process: subprocess.Popen[bytes] | None = None
        self.calls = 0
        try:
            hello = self._start()
            names, dtype = hello.get("capabilities"), str(hello.get("dtype"))
            if not isinstance(names, list) or dtype not in ROUNDOFF:
                must = "it must have capabilities, a list of names, and a dtype, float32 or float64"
                raise Broken(must)
        except BaseException as error:
            self.close()
            if isinstance(error, Broken | Unsupported):
                allowed = f"must answer hello, but {plain(error)}"
                raise Broken(str(check.wrong("command", self.command, allowed))) from None
            raise
        self.spec = Spec(plain(hello.get("name", self.command[-1])), dtype)
        self.names = [str(name) for name in names]

    def capabilities(self) -> Collection[str]:
        """What the program said it has."""
        return self.names

    def run(self, op: str, inputs: Values) -> Values:
        """Ask the program, which is started again if it has ended."""
        if self.process is None:
            self._start()
        return self._ask(op, inputs, self.time_limit)

    def close(self) -> None:
        """End the program and whatever it has started."""
        if self.process is not None:
            self.requests.put(b"")
            _end(self.process)
            self.listener.join(END_LIMIT)
            self.process = None

    def _start(self) -> Values:
        """Start the program; what it answers to hello."""
        try:
            self.process = process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # what it starts is in it too, and ends with it
            )
        except (OSError, ValueError) as error:
            raise Broken(f"could not be started: {error}") from None
        self.requests: SimpleQueue[bytes] = SimpleQueue()
        self.answers: SimpleQueue[Answer] = SimpleQueue()
        self.last_words = bytearray()
        conversation = (process, self.requests, self.answers)
        threading.Thread(target=_converse, args=conversation, daemon=True).start()
        self.listener = threading.Thread(
            target=_listen, args=(process, self.last_words), daemon=True
        )
        self.listener.start()
        return self._ask("hello", {}, self.start_limit)

    def _ask(self, op: str, inputs: Values, time_limit: float) -> Values:
        self.calls += 1
        request = json.dumps({"id": self.calls, "op": op, "inputs": encode(inputs)})
        self.requests.put(request.encode() + b"\n")
        try:
            line, answer = self.answers.get(timeout=time_limit)
        except Empty:
            said = f"did not answer within {time_limit:g} s: is each answer a line, and flushed?"
            raise self._ended(said, Hung) from None
        if not line.endswith(b"\n"):
            raise self._ended(self._why_no_line(line))
        if not isinstance(answer, dict):
            raise self._ended(f"wrote {line.strip()[:60]!r}, which is no answer: {answer}")
        if answer.get("id") != self.calls:
            said = f"answered id {answer.get('id')!r} to the request with id {self.calls}"
            raise self._ended(said)
        if "unsupported" in answer:
            raise Unsupported(str(answer["unsupported"]))
        if "error" in answer:
            raise Refused(plain(answer["error"]))
        outputs = answer.get("outputs")
        if not isinstance(outputs, dict):
            raise Broken("an answer must have outputs, an error, or unsupported")
        return outputs

    def _why_no_line(self, line: bytes) -> str:
        if len(line) == MOST_BYTES:
            return f"wrote more than {MOST_BYTES} bytes without an end"
        assert self.process is not None
        try:
            return f"died with exit code {self.process.wait(END_LIMIT)}"
        except subprocess.TimeoutExpired:
            return "closed its stdout"

    def _ended(self, reason: str, kind: "type[Broken]" = Broken) -> Broken:
        """The error to raise, with the last that the program wrote to stderr; it is ended."""
        self.close()
        lines = self.last_words.decode(errors="replace").splitlines()
        words = " | ".join(line.strip() for line in lines if line.strip())
        return kind(f"{reason}; on stderr: {words}" if words else reason)


def decoded(line: bytes) -> Answer:
    """A line, and the object in it with its arrays, or else why there is none."""
    try:
        answer = json.loads(line)
        return line, {**answer, "outputs": decode(answer.get("outputs"))}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return line, str(error)


def _converse(
    process: "subprocess.Popen[bytes]", requests: SimpleQueue[bytes], answers: SimpleQueue[Answer]
) -> None:
    """Write each request and read what answers it, in a thread: all of it may take for ever."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError), process.stdin, process.stdout:
        for request in iter(requests.get, b""):
            with suppress(OSError):  # it has died: there is no answer either
                process.stdin.write(request)
                process.stdin.flush()
            answers.put(decoded(process.stdout.readline(MOST_BYTES)))


def _listen(process: "subprocess.Popen[bytes]", last_words: bytearray) -> None:
    """Keep the end of what it writes to stderr: all of it could fill a disk."""
    assert process.stderr is not None
    with process.stderr:
        while piece := os.read(process.stderr.fileno(), 2**16):
            last_words += piece
            del last_words[:-LAST_WORDS]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started: a wrapper that is killed leaves its program behind."""
    if hasattr(os, "killpg"):
        with suppress(OSError):  # nobody is left
            os.killpg(process.pid, signal.SIGKILL)
    else:  # Windows, which finds what a process started as long as it lives
        end_tree = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(end_tree, capture_output=True)
    with suppress(subprocess.TimeoutExpired):  # it is another user's
        process.wait(END_LIMIT)
