"""Has contained children answer each question once in a run of tests, whichever of them ask it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.backends.cpu import build
from aegis_ros.network import counting, description, locate, preparing
from aegis_ros.network.generator import preparing as generators
from aegis_ros.network.generator import prompt
from aegis_ros.sandbox import children
from aegis_ros.sandbox.containment import Containment
from aegis_ros.sandbox.scratch import Scratch
from aegis_ros.sandbox.stopping import check_stop

__all__ = ["AskedOnce", "asking_once"]

# All that have the function by name, so that none of them finds a stand-in when it is imported.
_ASKERS = (build, children, counting, description, generators, locate, preparing, prompt)
_ANSWER, _MADE = "answer.json", "made"
_MOST_BYTES = 16 << 20


@contextmanager
def asking_once(once: AskedOnce) -> Iterator[None]:
    """Have whoever starts a contained child ask a stand-in meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for asker in _ASKERS:
            patch.setattr(asker, "run_child", once)
        yield


class AskedOnce:
    """Stands in for ``run_child``: copies what a child made and said when that was asked before.

    A contained child knows its request and the files that it may read, and no more: where those
    are the same, so is what it answers. Refusals are asked for each time, and so is what a child
    answers that opens a device, which nobody keeps from reading what it likes.

    Args:
        folder: of answers; several processes may share it.
        ask: starts a child that answers.

    Attributes:
        anew: whether every question is asked.
    """

    def __init__(self, folder: Path, ask: Callable[..., dict[str, Any]]) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._ask = ask
        self.anew = False

    def __call__(
        self,
        module: str,
        request: Mapping[str, Any],
        *,
        allowed: Containment,
        timeout_s: float,
        descriptors: Sequence[int] = (),
        **how: Any,
    ) -> dict[str, Any]:
        ask = partial(self._ask, module, request, allowed=allowed, timeout_s=timeout_s)
        ask = partial(ask, descriptors=descriptors, **how)
        if self.anew or allowed.devices or not all(map(os.path.isfile, allowed.reads)):
            return ask()
        places = {place: f"folder-{number}-of-child" for number, place in enumerate(allowed.writes)}
        kept = self._folder / _question(
            [module, _told(request), asdict(allowed), timeout_s],
            places | {path: _digest(Path(path)) for path in allowed.reads},
            [_digest(Path(f"/proc/self/fd/{each}")) for each in descriptors],
        )
        if not kept.exists():
            said = ask()
            self._keep(kept, said, places)
            return said
        check_stop()
        for place, name in places.items():
            _copy(kept / _MADE / name, Path(place))
        text = (kept / _ANSWER).read_text()
        answer: dict[str, Any] = json.loads(_put(text, {places[each]: each for each in places}))
        return answer

    def _keep(self, kept: Path, said: Mapping[str, Any], places: Mapping[str, str]) -> None:
        """Note an answer, whole or not at all; another process may do the same meanwhile."""
        files = [file for place in places for file in _files(Path(place))]
        if sum(file.stat().st_size for file in files) > _MOST_BYTES:
            return
        with Scratch(self._folder) as scratch:
            entry = scratch / kept.name
            for place, name in places.items():
                _copy(Path(place), entry / _MADE / name)
            entry.mkdir(exist_ok=True)
            (entry / _ANSWER).write_text(_put(json.dumps(said), places))
            with suppress(OSError):  # another one was first
                entry.rename(kept)


def _question(told: object, names: Mapping[str, str], opened: Sequence[str]) -> str:
    """Return a name of what is asked: the same for the same words about the same files."""
    there = [
        (names[place], str(file.relative_to(place)), _digest(file))
        for place in names
        for file in _files(Path(place))
    ]
    text = json.dumps([_put(json.dumps(told, sort_keys=True), names), there, opened])
    return hashlib.sha256(text.encode()).hexdigest()


def _told(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request says beside the number of a file that is open, and the folder of it."""
    told = dict(request)
    if "descriptor" in told:
        del told["descriptor"]
        told["source"] = Path(told.get("source", "")).name
    return told


def _put(text: str, names: Mapping[str, str]) -> str:
    for each in sorted(names, key=len, reverse=True):
        text = text.replace(each, names[each])
    return text


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _copy(made: Path, place: Path) -> None:
    """Have a folder hold the files of another one, with this process' rights, and nothing else."""
    place.mkdir(parents=True, exist_ok=True)
    for each in place.iterdir():
        if each.is_dir():
            shutil.rmtree(each)
        else:
            each.unlink()
    for file in _files(made):
        copy = place / file.relative_to(made)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
