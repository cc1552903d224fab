"""Builds the bird's-eye obstacle network: lidar points in, obstacle grid out, all ONNX operators.

The classical method, not a trained one: the lowest point of every cell, the ground as a grey-scale
opening of the lowest points on a coarse grid, and an obstacle wherever points lie higher above that
ground than a robot can drive over and lower than it can drive under. The
cloud may be in any frame whose z axis points up; the sensor's height need not be known.

Run ``python -m aegis_ros.demo.bev`` to write the file the package ships.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["BevParameters", "bev_network", "shipped_path"]

_OPSET = 18  # the first whose ScatterElements reduces with min and max
_IR_VERSION = 8
_EMPTY = 1e6  # stands for "no point here"; metres


@dataclass(frozen=True, slots=True)
class BevParameters:
    """What the network is built for.

    Attributes:
        range_m: the grid reaches this far to every side of the sensor.
        resolution_m: edge of a cell.
        ground_cell_m: edge of a cell of the coarse grid the ground is found on; a multiple of
            ``resolution_m``.
        ground_window: ground cells an object may cover, an odd number; what is wider becomes
            ground.
        min_height_m: what stands less above the ground is no obstacle.
        max_height_m: what hangs higher than this above the ground is no obstacle.
        blind_radius_m: points nearer to the sensor are the robot itself.
        min_points: points above ``min_height_m`` a cell needs to be an obstacle.
    """

    range_m: float = 40.0
    resolution_m: float = 0.2
    ground_cell_m: float = 1.0
    ground_window: int = 5
    min_height_m: float = 0.3
    max_height_m: float = 2.0
    blind_radius_m: float = 1.0
    min_points: int = 2

    @property
    def cells(self) -> int:
        """Cells along one edge of the grid."""
        return round(2 * self.range_m / self.resolution_m)

    @property
    def stride(self) -> int:
        """Cells along one edge of a ground cell."""
        return round(self.ground_cell_m / self.resolution_m)


class _Graph:
    """Collects nodes and constants under readable names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values: object, dtype: type[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, operator: str, output: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output], name=output, **attributes)
        )
        return output


def bev_network(parameters: BevParameters | None = None) -> onnx.ModelProto:
    """Return the network.

    Input ``points`` float32 [N, 4]: x forward, y left, z up in metres, intensity; rows with NaN
    or infinity are ignored. Outputs, both [X, Y] with axis 0 along x and axis 1 along y:
    ``obstacle`` uint8, 1 where a cell holds an obstacle, and ``height`` float32, the highest point
    above the ground and below ``max_height_m`` in metres (0 where the cell is empty).

    Raises:
        ValueError: the coarse grid does not fit the fine one.
    """
    p = parameters or BevParameters()
    if p.cells % p.stride or p.ground_window % 2 == 0:
        raise ValueError("ground cells must divide the grid, and ground_window must be odd")
    graph = _Graph()
    z, valid = _cells_of_points(graph, p)
    lowest = _scatter(graph, p, "lowest", z, fill=_EMPTY, how="min")
    _obstacles(graph, p, z=z, valid=valid, ground=_ground(graph, p, lowest))
    n = p.cells
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "bev_obstacles",
            [helper.make_tensor_value_info("points", TensorProto.FLOAT, ["points_count", 4])],
            [
                helper.make_tensor_value_info("obstacle", TensorProto.UINT8, [n, n]),
                helper.make_tensor_value_info("height", TensorProto.FLOAT, [n, n]),
            ],
            initializer=graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="aegis_ros",
    )
    helper.set_model_props(model, {f"bev_{name}": str(value) for name, value in asdict(p).items()})
    onnx.checker.check_model(model, full_check=True)
    return model


def shipped_path() -> Path:
    """Return where the file built with the default parameters lies in the package."""
    return Path(__file__).resolve().parents[1] / "models" / "bev_obstacles.onnx"


def _cells_of_points(graph: _Graph, p: BevParameters) -> tuple[str, str]:
    """Return z [N] and validity [N] of every point; write its flat cell number, ``index`` [N]."""
    node, constant = graph.node, graph.constant
    for axis, name in enumerate(("x_raw", "y_raw", "z_raw")):
        column = constant(f"column_{axis}", axis, np.int64)
        node("Gather", name, "points", column, axis=1)
    limit = constant("limit", _EMPTY / 2, np.float32)
    zero = constant("zero", 0.0, np.float32)
    for name in ("x", "y", "z"):
        # NaN and infinity fail this comparison.
        node("Abs", f"{name}_abs", f"{name}_raw")
        node("Less", f"{name}_ok", f"{name}_abs", limit)
        node("Where", name, f"{name}_ok", f"{name}_raw", zero)
    reach = constant("reach", p.range_m, np.float32)
    cell = constant("cell", p.resolution_m, np.float32)
    last = constant("last_cell", p.cells - 1, np.float32)
    for name in ("x", "y"):
        node("Add", f"{name}_shifted", name, reach)
        node("Div", f"{name}_scaled", f"{name}_shifted", cell)
        node("Floor", f"{name}_cell", f"{name}_scaled")
        node("GreaterOrEqual", f"{name}_above", f"{name}_cell", zero)
        node("LessOrEqual", f"{name}_below", f"{name}_cell", last)
        node("And", f"{name}_inside", f"{name}_above", f"{name}_below")
    node("Mul", "x_squared", "x", "x")
    node("Mul", "y_squared", "y", "y")
    node("Add", "distance_squared", "x_squared", "y_squared")
    blind = constant("blind_squared", p.blind_radius_m**2, np.float32)
    node("GreaterOrEqual", "outside_blind", "distance_squared", blind)
    valid = "outside_blind"
    for name in ("x_ok", "y_ok", "z_ok", "x_inside", "y_inside"):
        valid = node("And", f"valid_{name}", valid, name)
    width = constant("cells_across", p.cells, np.float32)
    node("Mul", "row_start", "x_cell", width)
    node("Add", "index_float", "row_start", "y_cell")
    dump = constant("dump_cell", p.cells**2, np.float32)  # one cell more takes what is not valid
    node("Where", "index_valid", valid, "index_float", dump)
    node("Cast", "index", "index_valid", to=TensorProto.INT64)
    constant("flat_shape", [p.cells**2 + 1], np.int64)
    constant("start", [0], np.int64)
    constant("stop", [p.cells**2], np.int64)
    return "z", valid


def _scatter(
    graph: _Graph, p: BevParameters, name: str, values: str, *, fill: float, how: str
) -> str:
    """Reduce one value a point [N] to one a cell [X * Y]; ``fill`` where there is no point."""
    node = graph.node
    value = helper.make_tensor(f"{name}_fill", TensorProto.FLOAT, [1], [fill])
    node("ConstantOfShape", f"{name}_empty", "flat_shape", value=value)
    node("ScatterElements", f"{name}_all", f"{name}_empty", "index", values, axis=0, reduction=how)
    return node("Slice", name, f"{name}_all", "start", "stop")


def _ground(graph: _Graph, p: BevParameters, lowest: str) -> str:
    """Return the height of the ground under every cell, [X, Y]."""
    node, constant = graph.node, graph.constant
    n, stride, window = p.cells, p.stride, p.ground_window
    pads = [window // 2] * 4
    image = constant("image_shape", [1, 1, n, n], np.int64)
    empty = constant("half_empty", _EMPTY / 2, np.float32)
    minus = constant("minus_empty", -_EMPTY, np.float32)
    zero_ground = constant("no_ground", 0.0, np.float32)
    node("Neg", "lowest_negative", lowest)
    node("Reshape", "lowest_image", "lowest_negative", image)
    # A minimum is the maximum of the negative; empty cells are very low in the negative.
    node("MaxPool", "coarse", "lowest_image", kernel_shape=[stride] * 2, strides=[stride] * 2)
    window_shape = {"kernel_shape": [window] * 2, "strides": [1, 1], "pads": pads}
    node("MaxPool", "eroded_negative", "coarse", **window_shape)
    node("Neg", "eroded_full", "eroded_negative")
    node("Less", "eroded_known", "eroded_full", empty)
    node("Where", "eroded", "eroded_known", "eroded_full", minus)
    node("MaxPool", "opened", "eroded", **window_shape)
    # Smooth, counting only where the ground is known, so that it has no steps to stumble over.
    node("Neg", "opened_negative", "opened")
    node("Less", "opened_known", "opened_negative", empty)
    node("Where", "opened_filled", "opened_known", "opened", zero_ground)
    node("Cast", "known", "opened_known", to=TensorProto.FLOAT)
    smooth = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1] * 4}
    node("AveragePool", "ground_sum", "opened_filled", **smooth)
    node("AveragePool", "known_sum", "known", **smooth)
    least = constant("least_weight", 1e-6, np.float32)
    node("Max", "weight", "known_sum", least)
    node("Div", "ground_coarse", "ground_sum", "weight")
    scales = constant("upscale", [1.0, 1.0, stride, stride], np.float32)
    node(
        "Resize",
        "ground_image",
        "ground_coarse",
        "",
        scales,
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    grid = constant("ground_shape", [n, n], np.int64)
    return node("Reshape", "ground", "ground_image", grid)


def _obstacles(graph: _Graph, p: BevParameters, *, z: str, valid: str, ground: str) -> None:
    """Write ``obstacle`` and ``height`` from the points between kerb and headroom.

    What hangs higher is dropped point by point: a ceiling over a floor is no obstacle.
    """
    node, constant = graph.node, graph.constant
    node("Reshape", "ground_flat", ground, constant("every_cell", [-1], np.int64))
    node("Concat", "ground_padded", "ground_flat", constant("dump", [0.0], np.float32), axis=0)
    node("Gather", "ground_under", "ground_padded", "index", axis=0)
    node("Sub", "above", z, "ground_under")
    node("Less", "below_headroom", "above", constant("headroom", p.max_height_m, np.float32))
    node("And", "counts", valid, "below_headroom")
    node("Greater", "above_kerb", "above", constant("kerb", p.min_height_m, np.float32))
    node("And", "stands", "counts", "above_kerb")
    node("Cast", "standing", "stands", to=TensorProto.FLOAT)
    node("Where", "counted", "counts", "above", constant("nothing", 0.0, np.float32))
    grid = constant("grid_shape", [p.cells, p.cells], np.int64)
    number = _scatter(graph, p, "standing_points", "standing", fill=0.0, how="add")
    firm = constant("min_points", p.min_points - 0.5, np.float32)
    node("Greater", "is_obstacle", number, firm)
    node("Cast", "obstacle_flat", "is_obstacle", to=TensorProto.UINT8)
    node("Reshape", "obstacle", "obstacle_flat", grid)
    height = _scatter(graph, p, "height_flat", "counted", fill=0.0, how="max")
    node("Reshape", "height", height, grid)


def main() -> None:
    """Write the shipped file, or the file named on the command line."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else shipped_path()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(bev_network().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
