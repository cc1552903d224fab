"""Libraries that TVM compiled elsewhere: fed by what is compiled here, and not believed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends.outputs import output_arrays
from aegis_ros.backends.tvm.backend import TvmBackend, load_network
from aegis_ros.backends.tvm.network import _opened
from aegis_ros.errors import BackendError, ModelError
from aegis_ros.network import Feed, PreparedNetwork, TensorInfo, prepare
from aegis_ros.network.compiled_code import CompiledCode, described_code
from aegis_ros.spec import Color, PreprocessSpec
from test.backends.extras import needs

pytestmark = [
    needs("tvm"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="a C++ compiler links such libraries"),
]
SIZE = (12, 16)
SPEC = PreprocessSpec(size=SIZE, color=Color.BGR, scale=1 / 255, mean=(0.4, 0.5, 0.6))
DESCRIPTION = {
    "inputs": [{"name": "image", "dtype": "float32", "shape": [1, 3, *SIZE]}],
    "outputs": [
        {"name": "map", "dtype": "float32", "shape": [1, 4, *SIZE]},
        {"name": "scores", "dtype": "float32", "shape": [1, 4]},
    ],
    "labels": ["door", "window", "wall", "floor"],
}


def network() -> onnx.ModelProto:
    """A convolution, and the mean of what it finds."""
    weights = np.random.default_rng(5).normal(size=(4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weights"], ["sums"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["sums"], ["map"]),
            helper.make_node("ReduceMean", ["map"], ["scores"], axes=[2, 3], keepdims=0),
        ],
        "elsewhere",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *SIZE])],
        [
            helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 4, *SIZE]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


COMPILE = """
import sys
import onnx, tvm
from tvm.relax.frontend.onnx import from_onnx
module = from_onnx(onnx.load(sys.argv[1]), keep_params_in_input=False)
tvm.compile(module, tvm.target.Target("llvm")).export_library(sys.argv[2])
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that TVM has compiled and linked, in its own process, as on another machine."""
    folder = tmp_path_factory.mktemp("elsewhere")
    onnx.save(network(), folder / "network.onnx")
    made = folder / "network.so"
    subprocess.run(
        [sys.executable, "-c", COMPILE, str(folder / "network.onnx"), str(made)], check=True
    )
    return made


Make = Callable[..., PreparedNetwork]


@pytest.fixture
def prepared(tmp_path: Path, library: Path) -> Make:
    """Return a function that prepares the library as a task that is fed by a camera."""

    def make(
        spec: PreprocessSpec = SPEC, content: bytes | None = None, **changes: object
    ) -> PreparedNetwork:
        path = tmp_path / "network.so"
        path.write_bytes(library.read_bytes() if content is None else content)
        (tmp_path / "network.so.json").write_text(json.dumps(DESCRIPTION | changes))
        code = described_code(str(path), ".so", [str(tmp_path)])
        assert isinstance(code, CompiledCode)
        return prepare(path, [Feed(spec, (24, 40, 3))], cache_dir=tmp_path / "cache", code=code)

    return make


def test_a_library_computes_what_its_network_does_on_frames_of_a_camera(
    prepared: Make, tmp_path: Path
) -> None:
    made = prepared()
    assert json.loads(made.metadata["names"]) == DESCRIPTION["labels"]
    compiled = TvmBackend().compile(made, tmp_path)
    assert (compiled.segments, compiled.note) == (1, "")
    with compiled.opened() as files:
        loaded = load_network(compiled, files)
    frame = np.random.default_rng(2).integers(0, 256, (*SIZE, 3), np.uint8)
    outputs = output_arrays(compiled)
    assert loaded.run(0, [frame], outputs) is None
    fused = onnxruntime.InferenceSession(str(made.path))
    (image,) = fused.run(None, {made.frame_input.name: frame})
    whole = onnxruntime.InferenceSession(network().SerializeToString())
    for found, wanted in zip(outputs, whole.run(None, {"image": image}), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        assert np.max(np.abs(wanted)) > 0.1


def test_a_library_stays_whole_and_says_why(prepared: Make, tmp_path: Path) -> None:
    compiled = TvmBackend().compile(prepared(), tmp_path, 2)
    assert compiled.segments == 1
    assert compiled.note == "not cut into 2 segments: it is compiled code, which stays as it is"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"function": "other"}, "the library has no function 'other'"),
        ({"outputs": DESCRIPTION["outputs"][:1]}, "2 tensors are made, and 1 outputs declared"),
        (
            {"inputs": [{"name": "image", "dtype": "float16", "shape": [1, 3, *SIZE]}]},
            "float16",
        ),
    ],
)
def test_a_description_that_is_not_true_is_found_before_the_engine_has_the_code(
    prepared: Make, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    spec = replace(SPEC, dtype="float16") if "inputs" in changes else SPEC
    with pytest.raises(ModelError, match=said):
        TvmBackend().compile(prepared(spec, **changes), tmp_path)


@pytest.mark.parametrize(
    ("place", "changed", "said"),
    [
        (0, TensorInfo("map", "float32", (4,)), r"'map' .*\(got float32 \[1, 4, 12, 16\]\)"),
        (1, TensorInfo("scores", "int32", (1, 4)), r"'scores' .*\(got float32 \[1, 4\]\)"),
    ],
)
def test_an_output_that_is_not_what_was_declared_is_found_by_the_first_run(
    prepared: Make, tmp_path: Path, place: int, changed: TensorInfo, said: str
) -> None:
    """Which is one of the child that has found the others."""
    compiled = TvmBackend().compile(prepared(), tmp_path)
    outputs = list(compiled.outputs)
    outputs[place] = changed
    with (
        compiled.opened() as files,
        pytest.raises(BackendError, match=f"^output {said}"),
    ):
        load_network(replace(compiled, outputs=tuple(outputs)), files)


def _linked(source: str, folder: Path) -> bytes:
    (folder / "other.c").write_text(source)
    made = folder / "other.so"
    subprocess.run(
        ["g++", "-shared", "-fPIC", "-x", "c++", str(folder / "other.c"), "-o", str(made)],
        check=True,
    )
    return made.read_bytes()


def test_what_is_no_library_of_tvm_is_refused(prepared: Make, tmp_path: Path) -> None:
    other = _linked('extern "C" int answer() { return 42; }', tmp_path)
    with pytest.raises(ModelError, match="is none that TVM has compiled from Relax"):
        TvmBackend().compile(prepared(content=other), tmp_path)
    with pytest.raises(BackendError, match=r"the library cannot be opened \(file too short\)"):
        _opened(b"\x7fELF and no more", tmp_path)


def test_code_that_crashes_or_reaches_out_does_so_behind_walls(
    prepared: Make, tmp_path: Path
) -> None:
    place = tmp_path / "written"
    hostile = f"""
#include <cstdio>
#include <cstdlib>
__attribute__((constructor)) static void begin() {{
    FILE *file = std::fopen("{place}", "w");
    if (file) std::fclose(file);
    std::abort();
}}
"""
    with pytest.raises(ModelError, match="SIGABRT"):
        TvmBackend().compile(prepared(content=_linked(hostile, tmp_path)), tmp_path)
    assert not place.exists()


def test_another_library_under_the_same_name_is_another_network(prepared: Make) -> None:
    keys = {prepared().key, prepared(labels=["a"]).key, prepared(content=b"other").key}
    assert len(keys) == 3


LIBRARY = """
#include <tvm/ffi/c_api.h>
extern "C" int __tvm_ffi_number(void*, const TVMFFIAny*, int32_t, TVMFFIAny* result) {
  result->type_index = kTVMFFIInt;
  result->v_int64 = NUMBER;
  return 0;
}
"""


def test_a_second_library_is_never_taken_for_the_first(tmp_path: Path) -> None:
    """The loader knows a library by the name it was opened by, which had a free number in it."""
    import tvm_ffi

    found = tvm_ffi.libinfo
    headers = [f"-I{found.find_include_path()}", f"-I{found.find_dlpack_include_path()}"]
    source = tmp_path / "code.cc"
    source.write_text(LIBRARY)
    loaded = []
    for number in (1, 2):
        made = tmp_path / f"{number}.so"
        subprocess.run(
            [
                "g++",
                "-shared",
                "-fPIC",
                f"-DNUMBER={number}",
                *headers,
                str(source),
                "-o",
                str(made),
            ],
            check=True,
        )
        loaded.append(_opened(made.read_bytes(), tmp_path))
    assert [module["number"]() for module, _ in loaded] == [1, 2]
