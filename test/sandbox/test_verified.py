"""A file that was made is opened only as long as it is what was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from aegis_ros.errors import BackendError, StateError
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.verified import digest_of, verified


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "part.onnx").write_text("made")
    return tmp_path / "part.onnx"


def test_what_was_made_opens(path: Path) -> None:
    with verified(str(path), digest_of(path), StateError) as name:
        assert Path(name).read_text() == "made"


def test_what_takes_its_place_once_it_was_hashed_is_not_opened(path: Path) -> None:
    with verified(str(path), digest_of(path), StateError) as name:
        path.rename(path.with_name("aside"))
        path.write_text("another")
        assert Path(name).read_text() == "made"


@pytest.mark.parametrize("left", ["", "mad", "nade"])
def test_what_is_not_what_was_made_is_refused_with_advice(path: Path, left: str) -> None:
    digest = digest_of(path)
    path.write_text(left)
    with (
        pytest.raises(BackendError, match=r"damaged \(.*part\.onnx\)") as caught,
        verified(str(path), digest, BackendError),
    ):
        pass
    assert caught.value.rule is Rule.STATE
    assert "Register the task again" in caught.value.hint


def test_what_is_gone_or_a_folder_is_refused(path: Path) -> None:
    digest = digest_of(path)
    path.unlink()
    with pytest.raises(StateError, match="is gone"), verified(str(path), digest, StateError):
        pass
    path.mkdir()
    with pytest.raises(StateError, match="damaged"), verified(str(path), digest, StateError):
        pass


def test_without_a_digest_the_path_is_taken_as_it_is(path: Path) -> None:
    with verified(str(path), "", StateError) as name:
        assert name == str(path)
