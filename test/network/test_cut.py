"""Cutting a network: even parts, narrow cuts, and the numbers of the whole."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.network import TensorInfo
from aegis_ros.network.cut import crossing_tensors, cut, exits_first, find_cuts, split
from aegis_ros.rationale import Rule
from test.network.builders import session

LENGTH = 6


def model_of(nodes: list[onnx.NodeProto], outputs: list[str], **more: object) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, [LENGTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [LENGTH]) for name in outputs],
        [numpy_helper.from_array(np.arange(LENGTH, dtype=np.float32), "weight")],
        **more,  # type: ignore[arg-type]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def chain(count: int) -> onnx.ModelProto:
    """frame -> t0 -> t1 -> ... by turns plus and times a constant."""
    names = ["frame", *(f"t{index}" for index in range(count))]
    kinds = itertools.cycle(["Add", "Mul"])
    return model_of(
        [
            helper.make_node(kind, [before, "weight"], [after])
            for kind, (before, after) in zip(kinds, itertools.pairwise(names), strict=False)
        ],
        [names[-1]],
    )


def tensors_of(model: onnx.ModelProto) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(name, "float32", (LENGTH,))
        for node in model.graph.node
        for name in node.output
    }


def run_whole(model: onnx.ModelProto, frame: np.ndarray) -> dict[str, np.ndarray]:
    names = [item.name for item in model.graph.output]
    return dict(zip(names, session(model).run(names, {"frame": frame}), strict=True))


def run_parts(parts: tuple[onnx.ModelProto, ...], frame: np.ndarray) -> dict[str, np.ndarray]:
    known = {"frame": frame}
    for part in parts:
        made = [item.name for item in part.graph.output]
        fed = {item.name: known[item.name] for item in part.graph.input}
        known.update(zip(made, session(part).run(made, fed), strict=True))
    return known


def assert_same_outputs(model: onnx.ModelProto, parts: tuple[onnx.ModelProto, ...]) -> None:
    frame = np.random.default_rng(1).random(LENGTH, np.float32)
    known = run_parts(parts, frame)
    for name, values in run_whole(model, frame).items():
        assert known[name].tobytes() == values.tobytes()


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_parts_one_after_the_other_compute_what_the_whole_does(parts: int) -> None:
    model = chain(8)
    made = cut(model, parts, tensors=tensors_of(model))
    assert len(made.parts) == len(made.shares) == parts
    assert len(made.places) == len(made.crossings) == parts - 1
    assert sum(made.shares) == pytest.approx(1.0)
    assert_same_outputs(model, made.parts)


def test_measured_costs_decide_where_the_middle_is() -> None:
    model = chain(6)
    made = cut(model, 2, tensors=tensors_of(model), costs=[50, 10, 10, 10, 10, 10])
    assert made.places == (1,)
    assert made.shares == pytest.approx((0.5, 0.5))
    assert made.crossings == ((TensorInfo("t0", "float32", (LENGTH,)),),)


def test_without_measured_costs_operations_are_counted() -> None:
    model = chain(4)
    del model.graph.value_info[:]
    model.graph.value_info.extend(
        helper.make_tensor_value_info(f"t{index}", TensorProto.FLOAT, [1 if index < 3 else 100])
        for index in range(4)
    )
    assert cut(model, 2, tensors=tensors_of(model)).places == (3,)


def test_of_cuts_that_are_almost_even_the_narrowest_is_taken() -> None:
    costs = np.full(10, 1.0)
    wide = [1e6] * 9
    wide[5] = 10.0  # behind operator 5: six operators before, four after
    assert find_cuts(costs, wide, 2) == (5,)
    costs = np.full(40, 1.0)
    wide = [1e6] * 39
    wide[20] = 10.0
    assert find_cuts(costs, wide, 2) == (21,)


def test_there_is_no_cut_through_what_cannot_be_handed_over() -> None:
    model = chain(4)
    known = tensors_of(model)
    del known["t1"]  # the middle
    assert cut(model, 2, tensors=known).places in ((1,), (3,))


def test_more_parts_than_there_are_places_for_is_refused_with_the_most_there_can_be() -> None:
    model = chain(3)
    with pytest.raises(ModelError, match="at most 3") as caught:
        cut(model, 4, tensors=tensors_of(model))
    assert caught.value.rule is Rule.MODEL_CUT


def test_what_is_used_again_later_crosses_every_cut_between() -> None:
    model = model_of(
        [
            helper.make_node("Add", ["frame", "weight"], ["early"]),
            helper.make_node("Relu", ["early"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Add", ["b", "early"], ["sum"]),
        ],
        ["sum"],
    )
    assert crossing_tensors(model) == [("early",), ("early", "a"), ("early", "b")]
    assert_same_outputs(model, split(model, (1, 2, 3), tensors_of(model)))


def test_an_output_in_the_middle_is_given_out_by_its_own_part_and_handed_on() -> None:
    model = model_of(
        [
            helper.make_node("Add", ["frame", "weight"], ["first"]),
            helper.make_node("Mul", ["first", "weight"], ["second"]),
        ],
        ["first", "second"],
    )
    head, tail = split(model, (1,), tensors_of(model))
    assert [item.name for item in head.graph.output] == ["first"]
    assert [item.name for item in tail.graph.input] == ["first"]
    assert_same_outputs(model, (head, tail))


def test_an_output_of_few_operators_is_complete_early_wherever_the_file_has_its_operators() -> None:
    model = chain(8)
    early = helper.make_node("Mul", ["t1", "weight"], ["head"])
    last = helper.make_node("Add", ["head", "weight"], ["exit"])
    model.graph.node.extend([early, last])
    model.graph.output.append(helper.make_tensor_value_info("exit", TensorProto.FLOAT, [LENGTH]))
    assert exits_first(model) == [0, 1, 8, 9, 2, 3, 4, 5, 6, 7]
    made = cut(model, 2, tensors=tensors_of(model), costs=[1.0] * 6 + [4.0] * 2 + [1.0] * 2)
    assert (made.completes("exit"), made.completes("t7")) == (0, 1)
    assert made.shares == (0.5, 0.5)  # costs go with their operators
    assert_same_outputs(model, made.parts)


def test_a_network_of_one_output_runs_in_the_order_of_its_file() -> None:
    assert exits_first(chain(6)) == list(range(6))


def test_a_part_that_reads_the_frame_gets_it_and_constants_go_where_they_are_used() -> None:
    model = model_of(
        [
            helper.make_node("Relu", ["frame"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Sum", ["b", "frame", "weight"], ["c"]),
        ],
        ["c"],
    )
    head, tail = split(model, (2,), tensors_of(model))
    assert [len(part.graph.initializer) for part in (head, tail)] == [0, 1]
    assert {item.name for item in tail.graph.input} == {"frame", "b"}
    assert_same_outputs(model, (head, tail))


def test_what_a_subgraph_takes_from_outside_crosses_too() -> None:
    def branch(kind: str) -> onnx.GraphProto:
        return helper.make_graph(
            [helper.make_node(kind, ["early", "weight"], [f"{kind}_out"])],
            kind,
            [],
            [helper.make_tensor_value_info(f"{kind}_out", TensorProto.FLOAT, [LENGTH])],
        )

    model = model_of(
        [
            helper.make_node("Relu", ["frame"], ["early"]),
            helper.make_node("ReduceMax", ["frame"], ["largest"], keepdims=0),
            helper.make_node("Cast", ["largest"], ["any"], to=TensorProto.BOOL),
            helper.make_node(
                "If", ["any"], ["out"], then_branch=branch("Add"), else_branch=branch("Sub")
            ),
        ],
        ["out"],
    )
    assert crossing_tensors(model)[-1] == ("early", "any")
    known = tensors_of(model) | {
        "any": TensorInfo("any", "bool", ()),
        "largest": TensorInfo("largest", "float32", ()),
    }
    assert_same_outputs(model, split(model, (1, 3), known))


def test_an_output_that_is_a_constant_keeps_the_network_whole() -> None:
    model = model_of([helper.make_node("Relu", ["frame"], ["a"])], ["a", "weight"])
    with pytest.raises(ModelError, match="no operator computes"):
        split(model, (), tensors_of(model))


@given(
    st.lists(st.floats(0.01, 100.0), min_size=2, max_size=9),
    st.integers(2, 4),
    st.randoms(use_true_random=False),
)
def test_no_choice_of_cuts_is_much_more_even_and_none_as_even_is_narrower(
    costs: list[float], parts: int, random: object
) -> None:
    widths = [float(random.randint(1, 100)) for _ in costs[1:]]  # type: ignore[attr-defined]
    if len(costs) < parts:
        return

    def longest(places: tuple[int, ...]) -> float:
        edges = [0, *places, len(costs)]
        return max(sum(costs[low:high]) for low, high in itertools.pairwise(edges))

    def width(places: tuple[int, ...]) -> float:
        return sum(widths[place - 1] for place in places)

    every = list(itertools.combinations(range(1, len(costs)), parts - 1))
    bound = min(map(longest, every)) * 1.1
    chosen = find_cuts(np.asarray(costs), widths, parts)
    assert longest(chosen) <= bound * (1 + 1e-9)
    close = [places for places in every if longest(places) <= bound * (1 - 1e-9)]
    assert width(chosen) <= min(map(width, close)) + 1e-9
