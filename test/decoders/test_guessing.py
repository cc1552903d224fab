"""Each well-known export is recognised, and read by the decoder that is suggested for it."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.decoders import Embedding, FrameInfo, create_decoder
from aegis_ros.decoders.exports import EXPORTS, Export
from aegis_ros.decoders.guessing import RECIPES, Clues, guess
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec

IDS = [export.name for export in EXPORTS]


@pytest.mark.parametrize("export", EXPORTS, ids=IDS)
def test_an_export_is_recognised(export: Export) -> None:
    found = guess(export.clues)
    assert (found.decoder, dict(found.options)) == (export.decoder, dict(export.options))
    assert found.why and (not found.recipe or found.recipe in RECIPES)


@pytest.mark.parametrize("export", EXPORTS, ids=IDS)
def test_an_export_is_read_with_the_options_that_the_page_names(export: Export) -> None:
    plain = {key: value for key, value in export.yours.items() if "…" not in str(value)}
    spec = PreprocessSpec(size=export.size)
    decoder = create_decoder(
        export.decoder, {**export.options, **plain}, spec, export.infos, metadata=export.metadata
    )
    outputs = {item.name: np.zeros(item.shape, item.dtype) for item in export.infos}
    decoded = decoder.decode(outputs, FrameInfo.of((48, 64, 3), spec))
    assert not isinstance(decoded, Embedding) or decoded.vector.size == 512


def test_what_nobody_knows_is_passed_on() -> None:
    for shapes in ([], [(1,)], [(1, 2, 3, 4, 5)], [(1, 7), (1, 8), (1, 9)], [()]):
        infos = tuple(TensorInfo(f"o{i}", "float32", shape) for i, shape in enumerate(shapes))
        found = guess(Clues(infos))
        assert (found.decoder, found.sure) == ("raw", False)


@pytest.mark.parametrize(
    "shape",
    [("n", "k"), (1, "n", 6), ("batch", "c", "h", "w"), (1, 84, "anchors"), (1, "a", "b")],
)
def test_extents_that_are_not_known_are_no_trouble(shape: tuple[int | str, ...]) -> None:
    guess(Clues((TensorInfo("o", "float32", shape),), (640, 640)))
    guess(Clues((TensorInfo("o", "float32", shape), TensorInfo("p", "int64", shape))))


@pytest.mark.parametrize("said", ["", "[", "[9, []]", "x" * 99, "[1e400, 3]"])
def test_what_a_file_says_of_itself_is_not_trusted(said: str) -> None:
    metadata = {"stride": "32", "task": "pose", "kpt_shape": said}
    guess(Clues((TensorInfo("o", "float32", (1, 56, 8400)),), (640, 640), metadata))


def test_what_the_last_operator_is_counts() -> None:
    one = TensorInfo("o", "float32", (1, 10))
    assert guess(Clues((one,), made_by={"o": "Softmax"})).options == {}
    assert guess(Clues((one,), made_by={"o": "Gemm"})).options == {"softmax": True}
