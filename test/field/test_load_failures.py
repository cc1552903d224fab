"""Networks that cannot be loaded, made for real: the cause is named, with advice that works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, ModelFile, prepare_child
from aegis_ros.network.plain_text import plain
from aegis_ros.spec import Layout, PreprocessSpec

IMAGE = (1, 3, 12, 16)
SPEC = PreprocessSpec(size=(12, 16))


def info(name: str, dtype: int = TensorProto.FLOAT, shape: Sequence[int | str] | None = IMAGE):
    return helper.make_tensor_value_info(name, dtype, shape)


def saved(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    dtype: int = TensorProto.FLOAT,
    shape: Sequence[int | str] | None = IMAGE,
    output: onnx.ValueInfoProto | None = None,
    constants: Sequence[np.ndarray] = (),
    opset: int = 17,
    version: int = 8,
    domains: Sequence[tuple[str, int]] = (),
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", dtype, shape)],
        [info("y", dtype, shape) if output is None else output],
        initializer=[numpy_helper.from_array(each, f"c{at}") for at, each in enumerate(constants)],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*each) for each in domains)]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=version), path)
    return path


def node(operator: str, *more: str, domain: str = "", name: str = "head", **attributes: object):
    return helper.make_node(operator, ["x", *more], ["y"], domain=domain, name=name, **attributes)


def prepared_here(request: dict[str, object]) -> dict[str, object]:
    """Do the work of the child in this process."""
    with ModelFile(Path(str(request["source"]))) as file:
        opened = {"descriptor": file.descriptor, "digest": file.digest, "max_results": 0}
        return prepare_child.answer(request | opened)


def refusal(path: Path, spec: PreprocessSpec = SPEC, frame: Sequence[int] = (48, 64, 3)) -> str:
    """What is said of a network; the work of the child is done here."""
    with pytest.raises(ModelError) as caught:
        prepared_here(
            {
                "feeds": [asdict(Feed(spec, tuple(frame)))],
                "dimensions": {},
                "source": str(path),
                "target": str(path.with_name("fused.onnx")),
            }
        )
    assert caught.value.hint
    return str(caught.value)


CASES: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "an opset that is too new": (
        lambda path: saved(path, [node("Relu")], opset=99),
        ["the network uses opset 99, and the runtime knows opsets up to ", "Export it with opset "],
    ),
    "an opset of a domain that is too new": (
        lambda path: saved(path, [node("Relu")], domains=[("ai.onnx.ml", 99)]),
        ["uses opset 99 of ai.onnx.ml, and the runtime knows opsets up to "],
    ),
    "a format that is too new": (
        lambda path: saved(path, [node("Relu")], version=99),
        ["the file has version 99 of the ONNX format, and versions up to "],
    ),
    "suppression as a plug-in": (
        lambda path: saved(path, [node("EfficientNMS_TRT")]),
        ["uses EfficientNMS_TRT, a plug-in of one runtime", "Export the network without it"],
    ),
    "suppression as a plug-in in its own domain": (
        lambda path: saved(path, [node("EfficientNMS_TRT", domain="TRT")], domains=[("TRT", 1)]),
        ["uses EfficientNMS_TRT, a plug-in of one runtime"],
    ),
    "an operator of a deployment library": (
        lambda path: saved(
            path, [node("TRTBatchedNMS", domain="mmdeploy")], domains=[("mmdeploy", 1)]
        ),
        ["uses TRTBatchedNMS, a plug-in of one runtime"],
    ),
    "an operator of somebody's own": (
        lambda path: saved(
            path, [node("Frobnicate", domain="org.example")], domains=[("org.example", 1)]
        ),
        ["has no operator Frobnicate of org.example", "with operators of ONNX only"],
    ),
    "an operator of a domain that is not imported": (
        lambda path: saved(path, [node("Frobnicate", domain="org.example")]),
        ["has no operator Frobnicate of org.example"],
    ),
    "an operator of another version of the runtime": (
        lambda path: saved(
            path, [node("NotThere", domain="com.microsoft")], domains=[("com.microsoft", 1)]
        ),
        ["has no operator NotThere of com.microsoft", "that the network was optimised with"],
    ),
    "double precision where there is none": (
        lambda path: saved(
            path, [node("Conv", "c0")], dtype=TensorProto.DOUBLE, constants=[np.ones((3, 3, 1, 1))]
        ),
        ["has no Conv (opset 11) for the element types that it gets at node 'head'", "in float32"],
    ),
    "whole numbers where an operator takes none": (
        lambda path: saved(
            path,
            [node("Conv", "c0")],
            dtype=TensorProto.INT32,
            constants=[np.ones((3, 3, 1, 1), np.int32)],
        ),
        ["Conv takes no int32, which 'x' is at node 'head'", "with a Cast before it"],
    ),
    "types that differ": (
        lambda path: saved(path, [node("Add", "c0")], constants=[np.ones(16)]),
        ["Add gets float and double at node 'head', where both must be equal"],
    ),
    "an attribute that is missing": (
        lambda path: saved(path, [node("Concat", "x")]),
        ["breaks a rule of ONNX (", "Required attribute 'axis' is missing"],
    ),
    "an index out of bounds": (
        lambda path: saved(path, [node("Gather", "c0", axis=1)], constants=[np.array([77])]),
        ["Gather fails at node 'head' when it runs: indices element out of data bounds, idx=77"],
    ),
    "an input of unknown rank": (
        lambda path: saved(path, [node("Relu")], shape=None),
        ["does not say how many extents the input 'x' has", "with the shapes of its inputs"],
    ),
    "an output of unknown rank": (
        lambda path: saved(
            path,
            [node("Reshape", "s"), helper.make_node("NonZero", ["x"], ["n"]),
             helper.make_node("Gather", ["n", "c0"], ["s"], axis=1)][::-1],
            output=info("y", shape=None),
            constants=[np.array([0])],
        ),
        ["how many extents the output 'y' has"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "said"), CASES.values(), ids=CASES)
def test_names_the_cause(tmp_path: Path, make: Callable[[Path], Path], said: list[str]) -> None:
    path = make(tmp_path / "net.onnx")
    fed = onnx.load_model(path).graph.input[0].type.tensor_type.elem_type
    dtype = str(helper.tensor_dtype_to_np_dtype(fed))
    text = refusal(path, replace(SPEC, dtype=dtype))
    for part in said:
        assert part in text
    for foreign in ("[ONNXRuntimeError]", "onnxruntime_src", "fused.onnx", str(tmp_path)):
        assert foreign not in text


def test_a_newer_format_that_is_understood_is_run(tmp_path: Path) -> None:
    newest = onnx.IR_VERSION  # of this very library, which the runtime may not know yet
    path = saved(tmp_path / "net.onnx", [node("Relu")], version=newest)
    made = prepared_here(
        {
            "feeds": [asdict(Feed(SPEC, (48, 64, 3)))],
            "dimensions": {},
            "source": str(path),
            "target": str(tmp_path / "fused.onnx"),
        }
    )
    assert made["outputs"][0]["shape"] == IMAGE


def test_an_output_whose_rank_can_be_found_needs_none(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [node("Relu")], output=info("y", shape=None))
    made = prepared_here(
        {
            "feeds": [asdict(Feed(SPEC, (48, 64, 3)))],
            "dimensions": {},
            "source": str(path),
            "target": str(tmp_path / "fused.onnx"),
        }
    )
    assert made["outputs"][0]["shape"] == IMAGE


@pytest.mark.parametrize("stated", [(1, 3, 12, 16), (1, 3, 12, "w")])
def test_another_size_on_a_fixed_network_is_named_with_its_own(
    tmp_path: Path, stated: Sequence[int | str]
) -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "c0"], ["y"]),
    ]
    weights = np.ones((3 * 12 * 16, 4), np.float32)
    path = saved(
        tmp_path / "net.onnx", nodes, shape=stated, output=info("y", shape=(1, 4)),
        constants=[weights],
    )  # fmt: skip
    said = refusal(path, PreprocessSpec(size=(24, 32)))
    if "w" in stated:
        assert "shapes do not fit, Gemm: " in said
    else:
        assert said == (
            "preprocess.size: the network's input 'x' takes images of 12 x 16, and not of 24 x 32. "
            "Set preprocess.size: [12, 16], or export the network with free extents."
        )


def test_another_size_is_no_reason_where_it_runs(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [node("Relu")])
    made = prepared_here(
        {
            "feeds": [asdict(Feed(PreprocessSpec(size=(24, 32)), (48, 64, 3)))],
            "dimensions": {},
            "source": str(path),
            "target": str(tmp_path / "fused.onnx"),
        }
    )
    assert made["outputs"][0]["shape"] == (1, 3, 24, 32)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"<!DOCTYPE html>\n<html>", "is a web page, not an ONNX network"),
        (b"PK\x03\x04rest", "a zip archive, as PyTorch saves models, not an ONNX network"),
        (b"\x80\x02}q\x00", "a Python pickle, as PyTorch saves models"),
        (b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model"),
        (b"ftrt\x00\x00", "an engine built for one GPU"),
        (b"\x1f\x8b\x08\x00", "a compressed archive"),
        (b"\x00" * 64, "is not an ONNX network, or is cut short"),
    ],
)
def test_what_the_file_is_instead_is_named(tmp_path: Path, head: bytes, said: str) -> None:
    (tmp_path / "net.onnx").write_bytes(head + b"\xff" * 100)
    assert said in refusal(tmp_path / "net.onnx")


def test_weights_in_other_files_are_named_with_a_command_that_works(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [node("Add", "c0")], constants=[np.ones(16, np.float32)])
    model = onnx.load_model(path)
    onnx.save_model(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    said = refusal(path)
    assert "the weights of net.onnx lie in other files (net.data)." in said
    assert "onnx.save_model(onnx.load('net.onnx'), 'whole.onnx')" in said
    onnx.save_model(onnx.load(path), tmp_path / "whole.onnx")
    (tmp_path / "net.data").unlink()
    assert "(net.data), and net.data is not beside it. Copy the missing files" in refusal(path)
    assert prepared_here(
        {
            "feeds": [asdict(Feed(SPEC, (48, 64, 3)))],
            "dimensions": {},
            "source": str(tmp_path / "whole.onnx"),
            "target": str(tmp_path / "fused.onnx"),
        }
    )


def test_weights_beyond_what_a_file_can_hold_are_refused_with_both_sizes(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [node("Add", "c0")], constants=[np.ones(16, np.float32)])
    model = onnx.load_model(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.dims[:] = [800_000_000]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "net.data"
    path.write_bytes(model.SerializeToString())
    assert "the network takes 3.0 GiB, and an ONNX file holds at most 2 GiB" in refusal(path)


def test_points_are_told_by_their_operator(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "net.onnx",
        [node("MatMul", "c0")],
        shape=("n", 4),
        output=info("y", shape=("n", 2)),
        constants=[np.ones((5, 2), np.float32)],
    )
    said = refusal(path, PreprocessSpec(layout=Layout.POINTS), (100, 4))
    assert "shapes do not fit at node 'head', MatMul: Incompatible dimensions" in said


def test_a_long_text_keeps_its_end() -> None:
    text = "Load failed " + "x " * 500 + "because the disk is on fire"
    short = plain(text)
    assert len(short) <= 302
    assert short.startswith("Load failed") and short.endswith("because the disk is on fire")


def test_an_input_of_text_is_called_so(tmp_path: Path) -> None:
    path = saved(tmp_path / "n.onnx", [node("Identity")], dtype=TensorProto.STRING)
    said = refusal(path)
    assert "the network's input 'x' is text" in said and "object" not in said
