"""Ends a command quietly when nobody reads its output any more, as `aegis check FILE | head`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["CLOSED", "ending_with_their_reader"]

#: Exit code, as a shell gives it to a program that SIGPIPE ends; 1 would be an answer.
CLOSED = 141


class _Pipe(io.FileIO):
    """A stream of this process; libraries would turn a broken one into answers of their own."""

    def write(self, data: Any, /) -> int:  # a buffer, which has a name from Python 3.12 on
        try:
            return super().write(data)
        except BrokenPipeError:
            # What is still buffered, and what the end of the interpreter flushes, goes nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            raise SystemExit(CLOSED) from None


@contextmanager
def ending_with_their_reader() -> Iterator[None]:
    """Have a reader that closes stdout or stderr end the program with :data:`CLOSED`."""
    out, err = sys.__stdout__, sys.__stderr__
    if out is None or err is None or (sys.stdout, sys.stderr) != (out, err):
        yield  # somebody catches what is printed
        return
    sys.stdout, sys.stderr = _on_pipe(out), _on_pipe(err)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _on_pipe(stream: TextIO) -> io.TextIOWrapper:
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=bool(stream.line_buffering),
    )
