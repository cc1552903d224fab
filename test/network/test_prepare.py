from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, PreparedNetwork, prepare
from aegis_ros.network.graph import MAX_OPERATORS, estimate_bytes, fuse, load_graph
from aegis_ros.rationale import Rule
from aegis_ros.spec import Color, FrameFormat, Layout, PreprocessSpec, ResizeMode

from .builders import identity_network, save, session, sum_network

SPEC = PreprocessSpec(size=(12, 16))


def prepared(path: Path, spec: PreprocessSpec = SPEC, **options: object) -> PreparedNetwork:
    feeds = (Feed(spec, (48, 64, 3)),)
    return prepare(path, feeds, cache_dir=path.parent / "cache", **options)  # type: ignore[arg-type]


def refused(path: Path, spec: PreprocessSpec = SPEC) -> ModelError:
    """What is wrong with a network, without the child process."""
    with pytest.raises(ModelError) as caught:
        fuse(load_graph(path), [Feed(spec, (48, 64, 3))], {})
    assert caught.value.rule is Rule.MODEL_VALID
    return caught.value


def test_describes_what_it_prepared(tmp_path: Path) -> None:
    network = prepared(identity_network(tmp_path / "n.onnx", (1, 3, "h", "w")))
    assert network.frame_format is FrameFormat.RGB8
    assert network.frame_input.name == "frame"
    assert network.frame_input.dtype == "uint8"
    assert [(item.name, item.dtype, item.shape) for item in network.outputs] == [
        ("output", "float32", (1, 3, 12, 16))
    ]
    assert network.activation_bytes > 0
    frame = np.zeros((20, 30, 3), np.uint8)
    assert session(network.path).run(None, {"frame": frame})[0].shape == (1, 3, 12, 16)


@pytest.mark.usefixtures("in_this_process")
def test_prepares_once_and_again_only_when_something_changed(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx")
    first = prepared(path)
    written = first.path.stat().st_mtime_ns
    assert prepared(path) == first
    assert first.path.stat().st_mtime_ns == written
    other = prepared(path, PreprocessSpec(size=(12, 16), color=Color.BGR))
    assert other.key != first.key


@pytest.mark.usefixtures("in_this_process")
def test_what_is_prepared_as_ever_keeps_its_key(tmp_path: Path) -> None:
    """Budgets that were measured before names of a network were left alone stay valid."""
    plain = prepared(identity_network(tmp_path / "n.onnx"))
    renamed = prepared(identity_network(tmp_path / "frame.onnx", input_name="frame"))
    assert renamed.frame_input.name == "frame_1" and [each.name for each in renamed.outputs] == [
        "output"
    ]
    assert plain.path.name.startswith(plain.key)
    assert not renamed.path.name.startswith(renamed.key)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("facts", ["{", "[]", "{}", '{"paths": []}', '{"inputs": 3}', "cut"])
def test_a_damaged_cache_entry_is_made_anew(tmp_path: Path, facts: str) -> None:
    path = identity_network(tmp_path / "n.onnx")
    first = prepared(path)
    if facts == "cut":
        first.path.write_bytes(first.path.read_bytes()[:100])
    else:
        (noted,) = first.path.parent.glob("*.json")
        noted.write_text(facts)
    assert prepared(path) == first
    assert session(first.path).get_outputs()[0].name == "output"


def test_two_may_prepare_the_same_network_at_once(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: prepared(path), range(2)))
    assert results[0] == results[1]


def test_the_childs_refusal_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    path.write_bytes(b"this is no network")
    with pytest.raises(ModelError, match="not an ONNX network") as caught:
        prepared(path)
    assert caught.value.hint


def test_an_operator_the_runtime_lacks_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Frobnicate", ["input"], ["output"], domain="org.example")],
        "custom",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 12, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 12, 16])],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1)],
        ir_version=8,
    )
    onnx.save_model(model, str(tmp_path / "n.onnx"))
    with pytest.raises(ModelError, match="Frobnicate"):
        prepared(tmp_path / "n.onnx")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_refuses_a_file_that_is_cut_short(tmp_path: Path, part: float) -> None:
    whole = sum_network(tmp_path / "n.onnx", as_input=False).read_bytes()
    (tmp_path / "n.onnx").write_bytes(whole[: int(len(whole) * part)])
    assert refused(tmp_path / "n.onnx").hint


def test_refuses_what_the_checker_refuses(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["nowhere"], ["output"])],
        "broken",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 12, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 12, 16])],
    )
    assert "breaks a rule of ONNX" in str(refused(save(graph, tmp_path / "n.onnx")))


@pytest.mark.parametrize(
    "where",
    [
        "initializer",
        "constant",
        "sparse",
        "function",
        "list of tensors",
        "sparse constant",
        "list of sparse tensors",
        "indices",
        "subgraph",
    ],
)
def test_refuses_weights_that_lie_in_other_files(tmp_path: Path, where: str) -> None:
    tensor = numpy_helper.from_array(np.ones((3, 1, 1), np.float32), "weight")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    nodes = [helper.make_node("Add", ["input", "weight"], ["output"])]
    constant = helper.make_node("Constant", [], ["weight"], value=tensor)
    if where == "constant":
        nodes.insert(0, constant)
    elif where == "function":
        nodes.insert(0, helper.make_node("Weight", [], ["weight"], domain="org.example"))
    sparse = onnx.SparseTensorProto(values=tensor, dims=[3, 1, 1])
    if where == "indices":
        inside = numpy_helper.from_array(np.ones(1, np.float32), "weight")
        sparse = onnx.SparseTensorProto(values=inside, indices=tensor, dims=[3, 1, 1])
    attributes = {
        "list of tensors": helper.make_attribute("weights", [tensor]),
        "sparse constant": helper.make_attribute("sparse_value", sparse),
        "list of sparse tensors": helper.make_attribute("weights", [sparse]),
        "subgraph": helper.make_attribute(
            "body", helper.make_graph([], "body", [], [], initializer=[tensor])
        ),
    }
    if where in attributes:
        node = helper.make_node("Weight", [], ["weight"], domain="org.example")
        node.attribute.append(attributes[where])
        nodes.insert(0, node)
    functions = helper.make_function(
        "org.example", "Weight", [], ["weight"], [constant], [helper.make_opsetid("", 17)]
    )
    graph = helper.make_graph(
        nodes,
        "external",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 12, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 12, 16])],
        initializer=[tensor] if where == "initializer" else [],
        sparse_initializer=[sparse] if where in ("sparse", "indices") else [],
    )
    path = save(graph, tmp_path / "n.onnx", functions=[functions] if where == "function" else [])
    assert "other files" in str(refused(path))


def test_names_the_dimension_that_is_not_bound(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", (1, 3, "rows", "columns"))
    error = refused(path, PreprocessSpec(size=None))
    assert "rows" in str(error)
    assert "dimensions: {rows:" in error.hint


@pytest.mark.usefixtures("in_this_process")
def test_dimensions_bind_what_the_network_leaves_open(tmp_path: Path) -> None:
    network = prepare(
        identity_network(tmp_path / "n.onnx", (1, 3, "rows", "columns")),
        (Feed(PreprocessSpec(resize=ResizeMode.NONE), (12, 16, 3)),),
        cache_dir=tmp_path / "cache",
        dimensions={"rows": 12, "columns": 16},
    )
    assert network.outputs[0].shape == (1, 3, 12, 16)


@pytest.mark.parametrize(
    ("shape", "spec", "names"),
    [
        ((1, 3, 12), SPEC, "rank 3"),
        ((1, 3, 12, 16), PreprocessSpec(), r"size: [12, 16]"),
        ((1, 4, 12, 16), SPEC, "4 channels"),
        ((1, 12, 16, 3), SPEC, "nhwc"),
        (
            (1, 3, 12, 16),
            PreprocessSpec(size=(12, 16), dtype="float16"),
            "(got float16); expected float32. Set preprocess.dtype: float32.",
        ),
        ((1, 3, 12, 16), PreprocessSpec(size=(12, 16), color=Color.MONO), "mono"),
        ((1, 3, 12, 16), PreprocessSpec(layout=Layout.RANGES), "rank"),
        ((1, 3, 12, 16), PreprocessSpec(size=(12, 16), input_name="image"), "input"),
    ],
)
def test_says_which_preprocessing_the_network_does_not_fit(
    tmp_path: Path, shape: tuple[int, ...], spec: PreprocessSpec, names: str
) -> None:
    assert names in str(refused(identity_network(tmp_path / "n.onnx", shape), spec))


def test_an_element_type_that_cannot_be_fed_is_refused_with_those_that_can(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", dtype=TensorProto.BFLOAT16)
    error = refused(path)
    assert "is bfloat16" in error.problem and "int8" in error.expected
    assert error.hint == "Export the network with an input of type float32"


def test_refuses_a_network_with_two_inputs_and_names_them(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["left", "right"], ["output"])],
        "stereo",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 12, 16])
            for name in ("left", "right")
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 12, 16])],
    )
    assert "left, right" in str(refused(save(graph, tmp_path / "n.onnx")))


def test_constants_listed_among_the_inputs_become_constants(tmp_path: Path) -> None:
    path = sum_network(tmp_path / "n.onnx", as_input=True)
    model = fuse(load_graph(path), [Feed(SPEC, (48, 64, 3))], {})
    assert [item.name for item in model.graph.input] == ["frame"]
    result = session(model).run(None, {"frame": np.zeros((12, 16, 3), np.uint8)})[0]
    assert np.all(result == 1.0)


def test_refuses_random_bytes_without_falling_over(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for size in (1, 10, 1000):
        (tmp_path / "n.onnx").write_bytes(generator.bytes(size))
        refused(tmp_path / "n.onnx")


@pytest.mark.usefixtures("in_this_process")
def test_counts_the_operations_of_convolutions_and_products(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "weight"], ["output"], pads=[1, 1, 1, 1])],
        "convolution",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 12, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 8, 12, 16])],
        initializer=[weights],
    )
    network = prepared(save(graph, tmp_path / "n.onnx"))
    convolution = 2 * 8 * 12 * 16 * 3 * 3 * 3
    assert convolution <= network.flops < 1.1 * convolution
    assert network.weight_bytes >= 8 * 3 * 3 * 3 * 4


def test_weights_count_wherever_the_exporter_put_them(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.ones((3, 1, 1), np.float32), "weight")
    nodes = [
        helper.make_node("Constant", [], ["weight"], value=tensor),
        helper.make_node("Add", ["input", "weight"], ["output"]),
    ]
    inside = helper.make_graph(
        nodes,
        "constants",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 12, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 12, 16])],
    )
    listed = sum_network(tmp_path / "listed.onnx", as_input=False)
    models = [load_graph(save(inside, tmp_path / "inside.onnx")), load_graph(listed)]
    assert [estimate_bytes(model)[0] for model in models] == [12, 12]


def test_refuses_too_many_operators_before_it_looks_at_them(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["input"], ["output"]).SerializeToString()
    field = b"\x0a" + bytes([len(node)]) + node  # GraphProto.node
    graph = field * (MAX_OPERATORS + 1)
    size = len(graph)
    length = bytes(
        (size >> shift) & 0x7F | (0x80 if size >> (shift + 7) else 0)
        for shift in range(0, 35, 7)
        if size >> shift
    )
    (tmp_path / "n.onnx").write_bytes(b"\x08\x08\x3a" + length + graph)
    error = refused(tmp_path / "n.onnx")
    assert (error.value, error.expected) == ("200,001", "at most 200,000")


def test_operators_of_functions_count_as_well(tmp_path: Path) -> None:
    model = onnx.load(identity_network(tmp_path / "n.onnx", (1, 3, 12, 16)))
    one = helper.make_node("Identity", ["x"], ["y"])
    for name in ("A", "B"):
        function = model.functions.add(domain="org.example", name=name)
        function.node.extend([one] * (MAX_OPERATORS // 2))
    (tmp_path / "n.onnx").write_bytes(model.SerializeToString())
    error = refused(tmp_path / "n.onnx")
    assert (error.value, error.expected) == ("200,001", "at most 200,000")


def test_a_network_that_wants_all_memory_is_refused(tmp_path: Path) -> None:
    """A few hundred bytes of ONNX may ask for any number of gigabytes."""
    size = helper.make_tensor("size", TensorProto.INT64, [1], [40 * 1024**3])
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["size"], ["large"]),
            helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
            helper.make_node("Add", ["input", "sum"], ["output"]),
        ],
        "large",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 12, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 12, 16])],
        [size],
    )
    path = save(graph, tmp_path / "n.onnx")
    with pytest.raises(ModelError, match=r"cannot be run|memory|ended with code"):
        prepared(path)
