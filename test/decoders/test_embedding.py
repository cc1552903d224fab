from __future__ import annotations

import json

import numpy as np
import pytest

from aegis_ros.decoders import Embedding, FrameInfo, create_decoder, to_json
from aegis_ros.errors import DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec

pytestmark = pytest.mark.filterwarnings("error")
FRAME = FrameInfo(8, 8, 8, 8)


def embedding(values: np.ndarray, **options: object) -> np.ndarray:
    info = TensorInfo("o", str(values.dtype), values.shape)
    decoder = create_decoder("embedding", options, PreprocessSpec(), [info])
    result = decoder.decode({"o": values}, FRAME)
    assert isinstance(result, Embedding) and result.vector.dtype == np.float32
    return result.vector


@pytest.mark.parametrize("shape", [(1, 2), (1, 2, 1, 1), (2,)])
def test_a_vector_is_scaled_to_length_one(shape: tuple[int, ...]) -> None:
    values = np.asarray([3.0, 4.0], np.float32).reshape(shape)
    assert embedding(values) == pytest.approx([0.6, 0.8])
    assert embedding(values, normalize=False).tolist() == [3.0, 4.0]


def test_zeros_and_huge_numbers_have_a_direction_or_none() -> None:
    assert embedding(np.zeros((1, 3), np.float32)).tolist() == [0.0, 0.0, 0.0]
    assert embedding(np.full((1, 4), 3e38, np.float32)) == pytest.approx([0.5] * 4)


@pytest.mark.parametrize("values", [np.full((1, 3), np.inf), np.full((1, 3), np.nan)])
def test_what_is_not_finite_is_no_vector(values: np.ndarray) -> None:
    with pytest.raises(DecodeError, match="finite"):
        embedding(values.astype(np.float32))


@pytest.mark.parametrize("shape", [(1, 512, 7, 7), (1, 20_000), (1, 0), (1, 4, 5)])
def test_a_map_of_features_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DecodeError, match="not one vector"):
        embedding(np.zeros(shape, np.float32))


def test_the_text_holds_the_vector() -> None:
    text = to_json(Embedding(np.asarray([0.6, 0.8], np.float32)))
    assert json.loads(text) == {"kind": "embedding", "vector": [0.6, 0.8]}
