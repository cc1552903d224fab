"""What was found allowed, what was hashed and what is read are the same file."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, ModelFile, PreparedNetwork, open_model, preparing
from aegis_ros.network import locate as locating
from aegis_ros.network.preparing import prepare
from aegis_ros.rationale import Rule
from aegis_ros.spec import PreprocessSpec

from .builders import identity_network, session, sum_network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A network whose output is its input; in ``other`` lies one that adds 1."""
    for folder in ("models", "other"):
        (tmp_path / folder).mkdir()
    sum_network(tmp_path / "other" / "n.onnx", as_input=False)
    return identity_network(tmp_path / "models" / "n.onnx")


def prepared(path: Path) -> PreparedNetwork:
    feeds = (Feed(PreprocessSpec(size=(12, 16)), (48, 64, 3)),)
    return prepare(path, feeds, cache_dir=path.parents[1] / "cache")


def black(network: PreparedNetwork) -> float:
    frame = np.zeros((12, 16, 3), np.uint8)
    return float(session(network.path).run(None, {"frame": frame})[0].max())


def swap_folders(path: Path) -> None:
    folder = path.parent
    folder.rename(folder.with_name("aside"))
    folder.with_name("other").rename(folder)


def overwrite(path: Path) -> None:
    path.write_bytes((path.parents[1] / "other" / "n.onnx").read_bytes())


def between_digest_and_read(
    monkeypatch: pytest.MonkeyPatch, path: Path, act: Callable[[Path], None]
) -> None:
    """Have something happen once the file is hashed, and before the child that reads it starts."""
    run_child = preparing.run_child

    def late(module: str, *args: Any, **more: Any) -> dict[str, Any]:
        act(path)
        return run_child(module, *args, **more)

    monkeypatch.setattr(preparing, "run_child", late)


def test_what_is_added_to_a_file_after_it_was_opened_is_not_read(path: Path) -> None:
    content = path.read_bytes()
    with ModelFile(path) as file:
        with path.open("ab") as stream:
            stream.write(b"more")
        assert file.size == len(content)
        assert file.digest == hashlib.sha256(content).hexdigest()


def test_a_folder_swapped_once_its_file_was_hashed_does_not_get_another_network_cached(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with monkeypatch.context() as patch:
        between_digest_and_read(patch, path, swap_folders)
        network = prepared(path)
    assert network.digest == digest and black(network) == 0.0
    other = prepared(path)
    assert other.digest != digest and black(other) == 1.0
    assert black(network) == 0.0


def test_a_file_that_is_written_to_once_it_was_hashed_is_refused_and_not_cached(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        between_digest_and_read(patch, path, overwrite)
        with pytest.raises(ModelError, match="changed while it was read") as caught:
            prepared(path)
    assert caught.value.rule is Rule.MODEL_FILE and "again" in caught.value.hint
    assert not [each for each in (path.parents[1] / "cache").rglob("*") if each.is_file()]
    assert black(prepared(path)) == 1.0


def test_a_folder_that_becomes_a_link_once_the_file_was_allowed_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(found: Path) -> ModelFile:
        path.parent.rename(path.parent.with_name("aside"))
        path.parent.symlink_to(path.parent.with_name("other"))
        return ModelFile(found)

    roots = [str(path.parent)]
    with monkeypatch.context() as patch:
        patch.setattr(locating, "ModelFile", late)
        with pytest.raises(ModelError, match="changed while it was read"):
            open_model(str(path), roots)


def test_a_file_that_becomes_a_pipe_once_it_was_allowed_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(found: Path) -> ModelFile:
        path.unlink()
        os.mkfifo(path)
        return ModelFile(found)

    monkeypatch.setattr(locating, "ModelFile", late)
    with pytest.raises(ModelError, match="changed while it was read"):
        open_model(str(path), [str(path.parent)])


def test_digests_of_records_are_compared_whatever_their_padding(path: Path) -> None:
    with ModelFile(path) as file:
        assert not file.matches("sha256", "")
        assert file.matches("sha384", _encoded(path, "sha384"))
        assert file.matches("sha384", _encoded(path, "sha384").rstrip("="))
        assert not file.matches("sha256", _encoded(path, "sha384"))


def _encoded(path: Path, algorithm: str) -> str:
    return base64.urlsafe_b64encode(hashlib.new(algorithm, path.read_bytes()).digest()).decode()
