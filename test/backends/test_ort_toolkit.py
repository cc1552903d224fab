"""What `aegis doctor` says of ONNX Runtime's CUDA provider: its GPU, or what is missing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from aegis_ros.backends import availability as module
from aegis_ros.backends.availability import Availability, availability
from aegis_ros.backends.cuda import CudaUnavailable
from aegis_ros.backends.cuda.ort import toolkit
from test.backends.fake_cuda import FakeDriver

NAME = "onnxruntime_cuda"


@pytest.fixture
def ort(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Pretend that a driver, a GPU and an ONNX Runtime with CUDA are here; return that runtime."""
    made = SimpleNamespace(
        __version__="1.31.1",
        get_available_providers=lambda: [toolkit.PROVIDER, "CPUExecutionProvider"],
        set_default_logger_severity=lambda level: None,
    )
    monkeypatch.setattr(module, "backend_names", lambda: [NAME])
    monkeypatch.setattr(toolkit, "ctypes", SimpleNamespace(CDLL=lambda name: None))
    monkeypatch.setattr(toolkit, "import_module", lambda name: made)
    monkeypatch.setattr(toolkit, "open_driver", FakeDriver)
    return made


def found() -> Availability:
    (answer,) = availability()
    return answer


def unavailable(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    def refused() -> FakeDriver:
        raise CudaUnavailable(reason)

    monkeypatch.setattr(toolkit, "open_driver", refused)


def test_where_it_works_its_gpu_and_its_version_are_named(ort: SimpleNamespace) -> None:
    assert found() == Availability(NAME, device="Fake GPU, ONNX Runtime 1.31.1 CUDA")


def test_without_a_driver_the_way_to_one_is_named(
    ort: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(toolkit, "ctypes", SimpleNamespace(CDLL=absent))
    assert "has no NVIDIA driver (libcuda.so.1): `sudo ubuntu-drivers" in found().missing


def test_an_onnx_runtime_without_cuda_is_named_with_what_replaces_it(ort: SimpleNamespace) -> None:
    ort.get_available_providers = lambda: ["CPUExecutionProvider"]
    said = found().missing
    assert "the one installed here (1.31.1) has none: `pip uninstall -y onnxruntime &&" in said
    assert "or set `backend: onnxruntime` to run on the CPU" in said


def test_without_cuda_python_its_package_is_named(
    ort: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    unavailable(monkeypatch, "cuda-python is not installed")
    assert "through cuda-python, which is not installed: `pip install cuda" in found().missing


def test_a_driver_without_a_gpu_says_what_to_look_at(
    ort: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    unavailable(monkeypatch, "the NVIDIA driver finds no GPU")
    said = found().missing
    assert "needs an NVIDIA GPU, but the NVIDIA driver finds no GPU: try `nvidia-smi`" in said
