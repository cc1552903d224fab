"""Captures what is put on a stream as a graph, and says why where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from aegis_ros.backends.cuda.driver import CudaDriver, CudaError

__all__ = ["CaptureRefusedError", "capture"]


class CaptureRefusedError(Exception):
    """What was put on the stream cannot be captured; the stream may be unusable from now on."""


def capture(driver: CudaDriver, stream: int, enqueue: Callable[[], None]) -> int:
    """Return what ``enqueue`` puts on a stream as an executable graph.

    Only calls of this thread are captured: other threads use the device meanwhile.

    Args:
        driver: the GPU.
        stream: on which nothing runs; best one that nobody else uses.
        enqueue: puts work on the stream and waits for nothing.

    Raises:
        CaptureRefusedError: it does something that cannot be captured, or cannot be repeated: it
            calls back into the host, or puts nothing on the stream.
        CudaError: the context is lost, or memory does not suffice.
    """
    try:
        graph = _captured(driver, stream, enqueue)
        refusal = _refusal(driver, graph)
    except CudaError as error:
        if error.sticky or error.out_of_memory:
            raise
        raise CaptureRefusedError(str(error)) from error
    if refusal:
        driver.destroy_graph(graph)
        raise CaptureRefusedError(refusal)
    return graph


def _refusal(driver: CudaDriver, graph: int) -> str:
    """Return why a graph cannot be launched again and again; destroy it where nobody can say."""
    try:
        kinds = driver.graph_kinds(graph)
    except BaseException:
        with suppress(CudaError):
            driver.destroy_graph(graph)
        raise
    if not kinds:
        return "it puts nothing on the stream"
    if "host" in kinds:  # it may free what the first launch used, so that the second one fails
        return "it calls back into the host"
    return ""


def _captured(driver: CudaDriver, stream: int, enqueue: Callable[[], None]) -> int:
    driver.begin_capture(stream)
    try:
        enqueue()
    except BaseException as error:
        with suppress(CudaError):  # that of `enqueue` says more
            driver.destroy_graph(driver.end_capture(stream))
        if isinstance(error, (CudaError, CaptureRefusedError)) or not isinstance(error, Exception):
            raise
        reason = " ".join(str(error).split())[:300]
        # Its traceback would keep what enqueued, beyond the stream that is thrown away next.
        bare = error.with_traceback(None)
        raise CaptureRefusedError(reason or type(error).__name__) from bare
    return driver.end_capture(stream)
