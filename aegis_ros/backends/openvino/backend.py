"""OpenVINO on the CPU, one pinned thread a lane; on Intel's GPUs and NPUs where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aegis_ros.backends.base import (
    MOST_INPUTS,
    Capabilities,
    CompiledNetwork,
    Ended,
    LoadedNetwork,
)
from aegis_ros.backends.cpu.onnxruntime import cpu_name
from aegis_ros.backends.openvino.network import OpenVinoNetwork
from aegis_ros.backends.openvino.toolkit import (
    CPU,
    GPU,
    NPU,
    Device,
    installed_version,
    load_openvino,
    open_core,
)
from aegis_ros.backends.trial import warm_up
from aegis_ros.backends.worker import PROCESSOR, OnCores
from aegis_ros.errors import BackendError, load_error
from aegis_ros.spec import LaneSpec

if TYPE_CHECKING:
    from aegis_ros.network.preparing import PreparedNetwork

__all__ = ["OpenVinoBackend", "OpenVinoGpuBackend", "OpenVinoNpuBackend", "load_network"]

_BUILD_TIMEOUT_S = 600.0
_REVISION = 3  # of what is made of a network; raise it when that changes


class OpenVinoBackend(OnCores):
    """Runs networks on the lanes' own cores.

    Raises:
        BackendError: OpenVINO is not installed.
    """

    name = "openvino"
    capabilities = Capabilities(
        inputs=MOST_INPUTS, on_cores=True, contends=PROCESSOR, distributions=("openvino",)
    )
    device: ClassVar[Device] = CPU

    def __init__(self) -> None:
        """Hold no lane yet."""
        super().__init__()
        self._version = installed_version(self.name)
        self._core: Any = None

    @staticmethod
    def warm() -> None:
        """Import the runtime."""
        load_openvino()

    def compile(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        """Cut, compile and try the network in a child process, and check its numbers there.

        Outputs are those of ONNX Runtime within the tolerance of the device (that of the CPU is
        :data:`~aegis_ros.backends.reference.FLOAT32`); on the CPU, those of segments are those of
        the whole network to the bit.

        Raises:
            ModelError: OpenVINO cannot take the network, or computes something else.
        """
        from aegis_ros.backends.kept import compiled  # what an engine has no use for
        from aegis_ros.sandbox.artifacts import ArtifactCache

        return compiled(
            self.name,
            prepared,
            ArtifactCache(cache_dir / self.name),
            made_for=f"{_REVISION}-{self.device_name()}",
            segments=segments,
            make=lambda scratch, parts: self._make(prepared, scratch, parts),
        )

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Find the device, and start one thread a lane."""
        self._find()
        super().open(lanes, ended, priority)

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Load the network and run it, so that its memory is there before the first job.

        Raises:
            BackendError: OpenVINO refuses, or a file is not what was built.
        """
        core = self._find()
        with compiled.opened() as files:
            try:
                return load_network(core, self.device, compiled, files)
            except Exception as error:  # its exceptions have no common type
                # What an engine has no use for.
                from aegis_ros.backends.openvino.refusals import openvino_failure

                raise load_error(openvino_failure(error), BackendError) from error

    def unload(self, network: LoadedNetwork) -> None:
        """Drop the requests."""
        assert isinstance(network, OpenVinoNetwork)
        network.close()

    def device_name(self) -> str:
        """Return device and runtime version."""
        if self.device is CPU:
            return f"{cpu_name()}, OpenVINO {self._version}"
        name = self._find().get_property(self.device.name, "FULL_DEVICE_NAME")
        return f"{name}, OpenVINO {self._version}"

    def _find(self) -> Any:
        """Return what loads networks.

        Raises:
            BackendError: the device is not there.
        """
        if self._core is None:
            self._core = open_core(self.name, self.device)
        return self._core

    def _make(
        self, prepared: PreparedNetwork, scratch: Path, segments: int
    ) -> tuple[dict[str, Any], list[Path]]:
        from aegis_ros.backends.kept import files_of, in_build, without_files
        from aegis_ros.sandbox.children import run_child

        facts = run_child(
            "aegis_ros.backends.openvino.build_child",
            {
                "source": str(prepared.path),
                "digest": prepared.fused_digest,
                "parts": segments,
                "folder": str(scratch),
                "device": self.device.name,
                "weight_bytes": prepared.weight_bytes,
                "activation_bytes": prepared.activation_bytes,
                "network": without_files(self.name, prepared).to_json(),
            },
            allowed=in_build(prepared, scratch, devices=self.device is not CPU),
            timeout_s=_BUILD_TIMEOUT_S,
            subject=prepared.source.name,
        )
        return files_of(facts)


class OpenVinoGpuBackend(OpenVinoBackend):
    """Runs networks on an Intel GPU; a lane's thread waits for it."""

    name = "openvino_gpu"
    capabilities = Capabilities(
        inputs=MOST_INPUTS, contends="the Intel GPU", distributions=("openvino",)
    )
    device = GPU

    def __init__(self) -> None:
        """Find the GPU."""
        super().__init__()
        self._find()


class OpenVinoNpuBackend(OpenVinoBackend):
    """Runs networks on an Intel NPU; a lane's thread waits for it."""

    name = "openvino_npu"
    capabilities = Capabilities(
        inputs=MOST_INPUTS, contends="the Intel NPU", distributions=("openvino",)
    )
    device = NPU

    def __init__(self) -> None:
        """Find the NPU."""
        super().__init__()
        self._find()


def load_network(
    core: Any, device: Device, compiled: CompiledNetwork, files: Sequence[str]
) -> OpenVinoNetwork:
    """Return a network that has run: no later run takes memory for the first time.

    Args:
        core: of OpenVINO.
        device: to load it on.
        compiled: the network.
        files: names under which its files open.
    """
    loaded = OpenVinoNetwork(core, device, compiled, files)
    warm_up(compiled, loaded)
    return loaded
