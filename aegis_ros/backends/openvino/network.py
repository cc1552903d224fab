"""One network on one lane of OpenVINO: a request a segment, on the caller's arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays, CompiledNetwork, Shapes
from aegis_ros.backends.openvino.marks import Made, is_marked, mark, reason
from aegis_ros.backends.openvino.stacks import small_stacks
from aegis_ros.backends.openvino.toolkit import Device, load_openvino
from aegis_ros.backends.outputs import copy_to_front
from aegis_ros.errors import BackendError

__all__ = ["OpenVinoNetwork", "named_as"]


class _Segment:
    """One request of a network.

    Attributes:
        request: of OpenVINO; bound to whatever stays the same.
        fed: (port, place) of the network's inputs that it reads, place being that among them.
        read_back: (port, place) of network outputs that it reads from the caller's arrays.
        direct: (port, place) of outputs it writes to the caller's arrays.
        handed_on: what it makes for later segments, whose extents are fixed.
        made: (output, place) of outputs whose extents only a run shows.
        given_up: why the first run was that was given up; empty where none was.
    """

    def __init__(self, request: Any) -> None:
        self.request = request
        self.fed: list[tuple[int, int]] = []
        self.read_back: list[tuple[int, int]] = []
        self.direct: list[tuple[int, int]] = []
        self.handed_on: list[npt.NDArray[np.generic]] = []
        self.made: list[tuple[Made, int]] = []
        self.given_up = ""


class OpenVinoNetwork:
    """Runs segments on the thread that calls, frames and outputs where they lie.

    Segments hand tensors to each other by name, in memory that the earlier one's request has taken.

    Args:
        core: what loads networks.
        device: to load it on.
        compiled: the network.
        files: names under which its files open, as :meth:`CompiledNetwork.opened` yields them.
    """

    def __init__(
        self, core: Any, device: Device, compiled: CompiledNetwork, files: Sequence[str]
    ) -> None:
        """Load every segment, and bind what can be bound before the first run."""
        self._tensor = load_openvino().Tensor
        self._inputs = {item.tensor.name: index for index, item in enumerate(compiled.inputs)}
        self._outputs = {item.name: index for index, item in enumerate(compiled.outputs)}
        self._infos = compiled.outputs
        self._dynamic = bool(compiled.dynamic_outputs)
        self._shapes = [tuple(int(extent) for extent in item.shape) for item in compiled.outputs]
        self._between: dict[str, Any] = {}
        self._segments: list[_Segment] = []
        dynamic = frozenset(compiled.dynamic_outputs)
        for file in files:
            content = BytesIO(Path(file).read_bytes())
            with small_stacks():  # of two threads, for requests that are started, not run
                part = core.import_model(content, device.name, device.properties)
            self._segments.append(self._bound(part, dynamic))

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self._segments)

    @property
    def note(self) -> str:
        """Nothing is chosen when it is loaded."""
        return ""

    def run(self, index: int, inputs: Arrays, outputs: Arrays) -> Shapes | None:
        """Run one segment; return the extents of the outputs if some are dynamic.

        Extents of outputs that are not complete yet are those of an earlier run.

        Raises:
            BackendError: an input is not what the network takes, an output has no room, or an
                operator failed.
        """
        segment, tensor = self._segments[index], self._tensor
        request = segment.request
        try:
            for port, place in segment.fed:
                request.set_input_tensor(port, tensor(inputs[place], shared_memory=True))
            for port, place in segment.read_back:
                request.set_input_tensor(port, tensor(outputs[place], shared_memory=True))
            for port, place in segment.direct:
                request.set_output_tensor(port, tensor(outputs[place], shared_memory=True))
            marked = [mark(outputs[place]) for _, place in segment.direct]
            marked += [mark(values) for values in segment.handed_on]
            for output, _ in segment.made:
                output.mark()
            request.infer(share_outputs=True)  # else it would copy what nobody looks at
        except Exception as error:  # its exceptions have no common type
            # What an engine has no use for.
            from aegis_ros.backends.openvino.refusals import openvino_text

            raise BackendError(openvino_text(error)) from error
        if is_marked(marked) or any(output.is_marked for output, _ in segment.made):
            segment.given_up = segment.given_up or reason(request)
            raise BackendError(segment.given_up)
        for output, place in segment.made:
            self._shapes[place] = copy_to_front(self._infos[place], output.data, outputs[place])
        return tuple(self._shapes) if self._dynamic else None

    def close(self) -> None:
        """Drop the requests."""
        self._segments.clear()
        self._between.clear()

    def _bound(self, compiled: Any, dynamic: frozenset[str]) -> _Segment:
        """Return a segment with all that stays the same bound to its request."""
        segment = _Segment(compiled.create_infer_request())
        known = dict.fromkeys((*self._inputs, *self._between, *self._outputs))
        for port, name in enumerate(named_as(compiled.inputs, known)):
            if name in self._inputs:
                segment.fed.append((port, self._inputs[name]))
            elif name in self._between:
                segment.request.set_input_tensor(port, self._between[name])
            else:
                segment.read_back.append((port, self._outputs[name]))
        for port, name in enumerate(named_as(compiled.outputs, self._outputs)):
            place = self._outputs.get(name)
            if place is None:
                self._between[name] = segment.request.get_output_tensor(port)
                segment.handed_on.append(self._between[name].data)
            elif name in dynamic:
                largest = [int(extent) for extent in self._infos[place].shape]
                made = Made(self._tensor, segment.request, port, largest)
                segment.made.append((made, place))
            else:
                segment.direct.append((port, place))
        return segment


def named_as(ports: Iterable[Any], known: Mapping[str, object]) -> list[str]:
    """Return the name of each port: one that is known, where it has one that no port has yet.

    Tensors that OpenVINO finds to be the same have all their names.

    Args:
        ports: inputs or outputs, in their order.
        known: names that matter.
    """
    found: list[str] = []
    for port in ports:
        names = sorted(set(port.get_names()) - set(found))
        found.append(next((name for name in names if name in known), names[0] if names else ""))
    return found
