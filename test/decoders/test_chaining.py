"""Which decoders another task can be chained behind, by what they say they return."""

from __future__ import annotations

from typing import Any

import pytest

from aegis_ros.decoders import Classification, Detections, box_decoders, chaining, finds_boxes


def test_decoders_of_boxes_and_of_text_can_be_chained_behind() -> None:
    found = box_decoders()
    assert {"boxes", "centerface", "text_regions"} <= set(found)
    assert not {"raw", "classification", "segmentation", "depth"} & set(found)


class Either:
    def decode(self, outputs: Any, frame: Any) -> Classification | Detections: ...


class Silent:
    def decode(self, outputs, frame): ...


class Unknown:
    def decode(self, outputs: Any, frame: Any) -> NotImported: ...  # noqa: F821


@pytest.mark.parametrize(
    ("decoder", "expected"),
    [(Either, True), (Silent, None), (Unknown, None), (lambda context: None, None)],
)
def test_a_decoder_of_others_need_not_say_what_it_returns(
    monkeypatch: pytest.MonkeyPatch, decoder: Any, expected: bool | None
) -> None:
    monkeypatch.setattr(chaining, "decoder_class", lambda name: decoder)
    assert finds_boxes("mine") is expected
