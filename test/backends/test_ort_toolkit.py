"""What `aegis doctor` says of ONNX Runtime's CUDA provider: its GPU, or what is missing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy.linalg
import pytest

from aegis_ros.backends import availability as module
from aegis_ros.backends.availability import Availability, availability
from aegis_ros.backends.cuda import CudaUnavailable
from aegis_ros.backends.cuda.ort import toolkit
from aegis_ros.backends.cuda.ort.libraries import missing_libraries
from test.backends.fake_cuda import FakeDriver

LIBRARY = numpy.linalg._umath_linalg.__file__
NAME = "onnxruntime_cuda"


@pytest.fixture
def ort(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Pretend that a driver, a GPU and an ONNX Runtime with CUDA are here; return that runtime."""
    made = SimpleNamespace(
        __version__="1.31.1",
        __file__=str(tmp_path / "__init__.py"),
        get_available_providers=lambda: [toolkit.PROVIDER, "CPUExecutionProvider"],
        set_default_logger_severity=lambda level: None,
    )
    monkeypatch.setattr(module, "backend_names", lambda: [NAME])
    monkeypatch.setattr(toolkit, "ctypes", SimpleNamespace(CDLL=lambda name: None))
    monkeypatch.setattr(toolkit, "import_module", lambda name: made)
    monkeypatch.setattr(toolkit, "open_driver", FakeDriver)
    return made


@pytest.fixture
def stripped(tmp_path: Path) -> Path:
    """Return a library that needs one which is nowhere, where ONNX Runtime has its provider."""
    made = tmp_path / toolkit._PROVIDER_FILE
    made.parent.mkdir()
    made.write_bytes(Path(LIBRARY).read_bytes().replace(b"\0libc.so.6\0", b"\0libc.so.0\0"))
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


def test_a_provider_that_lacks_libraries_is_named_with_them(
    ort: SimpleNamespace, stripped: Path
) -> None:
    said = found().missing
    assert "needs CUDA's libraries, and libc.so.0 cannot be loaded: `pip install nvidia-" in said
    assert "or set `backend: onnxruntime` to run on the CPU" in said


def test_what_a_library_needs_is_read_from_its_file(stripped: Path, tmp_path: Path) -> None:
    assert missing_libraries(Path(LIBRARY)) == ()
    assert missing_libraries(stripped) == ("libc.so.0",)
    whole = stripped.read_bytes()
    damaged = (b"", b"no library", whole[:40], whole[:1000], whole[: len(whole) // 2])
    for content in damaged:
        stripped.write_bytes(content)
        assert missing_libraries(stripped) in ((), ("libc.so.0",))
    assert missing_libraries(tmp_path / "absent.so") == ()
