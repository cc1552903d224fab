"""Language models in a real engine: memory that is not there, and files that are not any more."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.engine import Cycle
from aegis_ros.errors import EngineError
from aegis_ros.network.generator.ending import Ending
from test.engine.talk import TASK, Talk
from test.network.generator.compiled import CONTEXT, SHAPES, hungry

LONG = 100  # tokens of an answer
HUNGRY = 77  # the token of a prompt for which a step asks for more memory than there can be
PLAIN = [[1, 2, 3], [4, 5], [6]]


def refusals(talk: Talk) -> list[tuple[int, bool, int, int]]:
    """Return request, kind and size of bucket, and how often it was tried."""
    found: list[Cycle] = [each for each in talk.client.cycles(TASK, 0) if each.tried]
    return [
        (each.request, SHAPES[each.bucket].prefill, SHAPES[each.bucket].tokens, each.tried)
        for each in found
    ]


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    with Talk(tmp_path, context=CONTEXT) as made:
        yield made


@pytest.mark.parametrize(
    ("above", "prompt", "tried"),
    [
        (2, [1, 2, HUNGRY], (False, 4)),
        (8, [*range(1, 32), HUNGRY, 1], (True, 32)),
    ],
)
def test_a_step_without_memory_is_tried_again_half_as_large_and_no_text_changes(
    talk: Talk, above: int, prompt: list[int], tried: tuple[bool, int]
) -> None:
    talk.client.unload(TASK)
    talk.load_model(compiled=hungry(talk.model, HUNGRY, above))
    for number, tokens in enumerate(PLAIN):
        talk.ask(number + 1, tokens, LONG, slot=number)
    talk.until_said(3, 2)
    talk.ask(4, prompt, LONG, slot=3)
    talk.until_ended(1, 2, 3, 4)
    (refused,) = refusals(talk)
    assert refused[1:] == (*tried, 1) and refused[0] in (1, 2, 3, 4)
    for number, tokens in enumerate([*PLAIN, prompt]):
        assert talk.said(number + 1) == talk.wanted(tokens, LONG)[0]
    # What follows is bound by what there was memory for, until the node chooses anew.
    sizes = {each.bucket for each in talk.client.cycles(TASK, 0) if not each.tried}
    smaller = {at for at, shape in enumerate(SHAPES) if (shape.prefill, shape.tokens) < tried}
    assert sizes & smaller


def test_a_request_that_has_no_memory_twice_ends_alone_with_that_reason(talk: Talk) -> None:
    talk.client.unload(TASK)
    talk.load_model(compiled=hungry(talk.model, HUNGRY, 0))
    for number, tokens in enumerate(PLAIN):
        talk.ask(number + 1, tokens, LONG, slot=number)
    talk.until_said(3, 2)
    talk.ask(4, [HUNGRY], LONG, slot=3)
    talk.until_ended(4)
    (spoken,) = (each for each in talk.heard.spoken if each.request == 4)
    assert spoken.ended is Ending.FAILED and "memory" in spoken.text
    talk.ask(5, [9], LONG, slot=3)
    talk.until_ended(1, 2, 3, 5)
    assert refusals(talk)[-1] == (4, False, SHAPES[-2].tokens, 2)
    for number, tokens in ((1, PLAIN[0]), (5, [9])):
        assert talk.said(number) == talk.wanted(tokens, LONG)[0]


def removed(path: Path) -> None:
    path.unlink()


def overwritten(path: Path) -> None:
    path.write_bytes(b"\0" * 100)  # in place, and shorter: a page that was mapped is gone


def replaced(path: Path) -> None:
    """Put another network there that would load as well."""
    other = path.with_name("other")
    model = onnx.load(str(path))
    model.doc_string = "not the one that was made"
    onnx.save_model(model, str(other))
    other.rename(path)


@pytest.mark.parametrize("swap", [removed, overwritten, replaced])
def test_files_that_are_swapped_while_it_speaks_change_no_answer_and_are_not_loaded_again(
    talk: Talk, swap: Callable[[Path], None]
) -> None:
    wanted = talk.wanted([1, 2, 3], LONG)[0], talk.wanted([7, 8], LONG)[0]
    talk.ask(1, [1, 2, 3], LONG)
    talk.until_said(1)
    pid = talk.client.status().pid
    mapped = Path(f"/proc/{pid}/maps").read_text()
    assert not any(path in mapped for path in talk.model.paths), "what is cut then is a SIGBUS"
    for path in talk.model.paths:
        swap(Path(path))
    talk.ask(2, [7, 8], LONG, slot=1)
    talk.until_ended(1, 2)
    assert (talk.said(1), talk.said(2)) == wanted and talk.client.status().pid == pid
    os.kill(pid, signal.SIGKILL)
    talk.wait(lambda heard: any(event.recovered for event in heard.events), "its recovery")
    (event,) = (each for each in talk.heard.events if each.recovered)
    ((task, why),) = event.failed
    assert task == TASK and ("gone" in why or "damaged" in why or "not what" in why), why
    with pytest.raises(EngineError, match="has not loaded"):
        talk.ask(3)
