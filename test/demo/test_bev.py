from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from aegis_ros.decoders import FrameInfo, Obstacles, create_decoder
from aegis_ros.demo.bev import BevParameters, bev_network, shipped_path
from aegis_ros.network.feed import Feed
from aegis_ros.network.graph import fuse, load_graph
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.spec import Layout, PreprocessSpec
from test.network.builders import session

SPEC = PreprocessSpec(layout=Layout.POINTS)
SWEEPS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "lidar"
CELLS = BevParameters().cells
OUTPUTS = (
    TensorInfo("obstacle", "uint8", (CELLS, CELLS)),
    TensorInfo("height", "float32", (CELLS, CELLS)),
)


@pytest.fixture(scope="module")
def network() -> onnxruntime.InferenceSession:
    return session(fuse(load_graph(shipped_path()), [Feed(SPEC, (20_000, 4))], {}))


def obstacles(network: onnxruntime.InferenceSession, points: np.ndarray) -> Obstacles:
    names = [item.name for item in network.get_outputs()]
    outputs = dict(zip(names, network.run(names, {"frame": points}), strict=True))
    metadata = network.get_modelmeta().custom_metadata_map
    decoder = create_decoder("bev_obstacles", {}, SPEC, OUTPUTS, metadata=metadata)
    found = decoder.decode(outputs, FrameInfo.of(points.shape, SPEC))
    assert isinstance(found, Obstacles)
    return found


def plane(slope: float = 0.0, height: float = -1.7, reach: float = 30.0) -> np.ndarray:
    """A road: one point every 20 cm, noise of 2 cm."""
    ticks = np.arange(-reach, reach, 0.2, dtype=np.float32)
    x, y = (axis.ravel() for axis in np.meshgrid(ticks, ticks))
    noise = np.random.default_rng(0).normal(0, 0.02, x.size)
    z = height + slope * x + noise
    return np.stack([x, y, z, np.zeros_like(x)], axis=1).astype(np.float32)


def block(x: float, y: float, low: float, high: float, edge: float = 0.6) -> np.ndarray:
    """A solid block of points with its centre at x, y."""
    axis = np.arange(-edge / 2, edge / 2, 0.05)
    grid = np.meshgrid(x + axis, y + axis, np.arange(low, high, 0.1))
    corners = np.stack([values.ravel() for values in grid], axis=1)
    return np.c_[corners, np.zeros(len(corners))].astype(np.float32)


def test_the_shipped_file_is_what_the_builder_builds() -> None:
    assert load_graph(shipped_path()) == bev_network()


@pytest.mark.parametrize("slope", [0.0, 0.08, -0.08])
@pytest.mark.parametrize("height", [-1.7, 0.0, 12.0])
def test_a_road_is_no_obstacle_level_or_not(
    network: onnxruntime.InferenceSession, slope: float, height: float
) -> None:
    found = obstacles(network, plane(slope, height))
    assert not len(found.boxes) and not found.mask.any()


def test_a_post_is_found_where_it_stands(network: onnxruntime.InferenceSession) -> None:
    cloud = np.concatenate([plane(), block(10.0, -4.0, -1.7, -0.2)])
    found = obstacles(network, cloud)
    assert len(found.boxes) == 1
    assert found.boxes[0] == pytest.approx([9.7, -4.3, 10.3, -3.7], abs=0.25)
    assert found.heights[0] == pytest.approx(1.5, abs=0.2)
    assert found.distances[0] == pytest.approx(np.hypot(9.7, 3.7), abs=0.3)


def test_the_nearest_obstacle_comes_first(network: onnxruntime.InferenceSession) -> None:
    blocks = [block(x, 3.0, -1.7, -0.5) for x in (20.0, -5.0, 12.0)]
    found = obstacles(network, np.concatenate([plane(), *blocks]))
    assert found.boxes[:, 0].round().tolist() == [-5.0, 12.0, 20.0]
    assert np.all(np.diff(found.distances) > 0)


def test_a_kerb_is_driven_over_and_a_bridge_driven_under(
    network: onnxruntime.InferenceSession,
) -> None:
    kerb, bridge = block(8.0, 0.0, -1.7, -1.5), block(12.0, 0.0, 1.0, 3.0, edge=4.0)
    assert not len(obstacles(network, np.concatenate([plane(), kerb, bridge])).boxes)


def test_what_cannot_be_a_point_is_ignored(network: onnxruntime.InferenceSession) -> None:
    bad = np.asarray(
        [
            [np.nan, 0, 0, 0],
            [5, np.inf, 0, 0],
            [5, 5, -np.inf, 0],
            [1e30, 5, 3, 0],
            [5, 5, np.nan, np.nan],
            [40.0, 0, 5, 0],
        ],
        np.float32,
    )
    clean = np.concatenate([plane(), block(10.0, -4.0, -1.7, -0.2)])
    assert np.array_equal(
        obstacles(network, np.concatenate([clean, bad.repeat(50, axis=0)])).mask,
        obstacles(network, clean).mask,
    )


def test_the_robot_itself_is_no_obstacle(network: onnxruntime.InferenceSession) -> None:
    assert not len(obstacles(network, np.concatenate([plane(), block(0, 0, -1.0, 0.5)])).boxes)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_points_give_no_obstacle(
    network: onnxruntime.InferenceSession, count: int
) -> None:
    found = obstacles(network, np.full((count, 4), 5.0, np.float32))
    assert not len(found.boxes)


def test_the_grids_of_other_ranges_are_built_alike() -> None:
    parameters = BevParameters(range_m=10.0, resolution_m=0.1, ground_cell_m=0.5)
    result = session(bev_network(parameters)).run(None, {"points": plane(reach=8.0)})
    assert result[0].shape == (200, 200) and not result[0].any()
    with pytest.raises(ValueError):
        bev_network(BevParameters(ground_window=4))


@pytest.mark.skipif(not SWEEPS.is_dir(), reason="sweeps of KITTI, in ../shared/data/lidar")
@pytest.mark.parametrize(
    ("sweep", "standing", "road"),
    [
        # Boxes x, y: a pedestrian at 8.7 m; free road in front of the car.
        ("kitti_000000_4f.bin", (8.4, 9.0, -2.2, -1.4), (6.5, 8.0, 0.0, 1.0)),
        ("kitti_000001_4f.bin", (14.0, 20.0, -11.0, -6.5), (8.0, 25.0, -1.5, 1.5)),
        ("kitti_000002_4f.bin", (7.0, 20.0, 2.5, 5.0), (8.0, 30.0, -1.0, 1.0)),
    ],
)
def test_real_sweeps_cars_and_people_stand_and_the_road_is_free(
    network: onnxruntime.InferenceSession,
    sweep: str,
    standing: tuple[float, ...],
    road: tuple[float, ...],
) -> None:
    found = obstacles(network, np.fromfile(SWEEPS / sweep, np.float32).reshape(-1, 4))

    def share(area: tuple[float, ...]) -> float:
        low_x, high_x, low_y, high_y = (
            int((edge - found.origin[0]) / found.resolution) for edge in area
        )
        return float(found.mask[low_x:high_x, low_y:high_y].mean())

    assert share(standing) > 0.1
    assert share(road) == 0.0
