"""Language models in a real engine: what is asked is answered, and each answer ends once."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.backends import create_backend
from aegis_ros.backends.generators import shapes_of
from aegis_ros.backends.testing.networks import make_network
from aegis_ros.engine import Asked, LoadGenerator
from aegis_ros.engine.client import client
from aegis_ros.engine.client.requests import send_if_running
from aegis_ros.errors import EngineError, InputError
from aegis_ros.network.generator.answering import Answer, Question, answered
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.scheduling import GeneratorPlan
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import Criticality
from test.engine.bench import Bench
from test.engine.talk import GREEDY, TASK, Talk
from test.network.generator import vision
from test.network.generator.compiled import SHAPES, cache_of, compiled, plan_of

LONG = 200  # tokens
ENDLESS = 1 << 15  # tokens of an answer that no machine ends before a test does


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """An engine for those who leave it as it was."""
    with Talk(tmp_path_factory.mktemp("model")) as made:
        yield made


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """An engine whose answers end only as a test has them end, and which is left as it was."""
    with Talk(tmp_path_factory.mktemp("endless"), context=ENDLESS) as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Talk]:
    """An engine for one that takes it down."""
    with Talk(tmp_path) as made:
        yield made


@pytest.fixture
def own_endless(tmp_path: Path) -> Iterator[Talk]:
    """An engine with endless answers for one that takes it down."""
    with Talk(tmp_path, context=ENDLESS) as made:
        yield made


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> None:
    for name in {"talk", "endless"} & set(request.fixturenames):
        request.getfixturevalue(name).heard.spoken.clear()


@pytest.mark.parametrize("length", [1, 2, 3, 20, 77, 255, 256])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(0.9, 0.95, 3)])
def test_it_answers_what_a_decoder_answers(talk: Talk, length: int, sampling: Sampling) -> None:
    prompt = [each % 250 for each in range(length)]
    talk.ask(1, prompt, 12, sampling=sampling)
    talk.until_ended(1)
    tokens, ending = talk.wanted(prompt, 12, sampling)
    assert talk.said(1) == tokens
    assert talk.endings(1) == [ending]


def test_a_token_that_ends_an_answer_ends_it(tmp_path: Path) -> None:
    plain = Talk(tmp_path)
    tokens, _ = plain.wanted([5, 6, 7], 20)
    with Talk(tmp_path, ends=(tokens[3],)) as talk:
        talk.ask(1, [5, 6, 7], 20)
        talk.until_ended(1)
        assert (talk.said(1), talk.endings(1)) == (
            tokens[: tokens.index(tokens[3]) + 1],
            [Ending.END],
        )
        assert talk.wanted([5, 6, 7], 20) == (talk.said(1), Ending.END)


def test_several_answer_at_once_and_a_slot_is_used_again(talk: Talk) -> None:
    for number in range(4):
        talk.ask(number, [number + 1] * (number + 2), 30, slot=number)
    talk.until_ended(2)
    talk.ask(9, [8, 8], 5, slot=2)
    talk.until_ended(0, 1, 2, 3, 9)
    for number in range(4):
        assert talk.said(number) == talk.wanted([number + 1] * (number + 2), 30)[0]
    assert talk.said(9) == talk.wanted([8, 8], 5)[0]


def test_a_cancelled_answer_ends_and_another_one_is_not_disturbed(endless: Talk) -> None:
    talk = endless
    talk.ask(1, [1, 2, 3], ENDLESS)
    talk.ask(2, [4, 5, 6], 60, slot=3)
    talk.until_said(1, 2)
    talk.client.cancel(TASK, 1)
    talk.client.cancel(TASK, 99)
    talk.client.cancel(TASK + 1, 1)
    talk.until_ended(1, 2)
    assert talk.endings(1) == [Ending.CANCELLED]
    said = talk.said(1)
    assert len(said) >= 2 and said[:LONG] == talk.wanted([1, 2, 3], LONG)[0][: len(said)]
    assert talk.said(2) == talk.wanted([4, 5, 6], 60)[0]
    talk.client.cancel(TASK, 1)
    talk.ask(1, [1, 2, 3], 4)
    talk.wait(lambda _: len(talk.endings(1)) == 2, "its next answer")
    assert talk.endings(1) == [Ending.CANCELLED, Ending.LENGTH]


def test_requests_that_cannot_be_are_refused_by_field(endless: Talk) -> None:
    talk = endless
    talk.ask(1, [1, 2], ENDLESS)
    for where, fields in (
        ("request", {"request": 1, "slot": 1}),
        ("slot", {"request": 2, "slot": 0}),
        ("slot", {"request": 2, "slot": 4}),
        ("slot", {"request": 2, "slot": -1}),
        ("tokens", {"request": 2, "slot": 1, "tokens": []}),
        ("tokens", {"request": 2, "slot": 1, "tokens": [1] * (ENDLESS + 1)}),
        ("tokens", {"request": 2, "slot": 1, "tokens": [2**40]}),
        ("tokens", {"request": 2, "slot": 1, "tokens": [-1]}),
        ("answer", {"request": 2, "slot": 1, "answer": 0}),
    ):
        with pytest.raises(InputError) as error:
            talk.ask(**fields)  # type: ignore[arg-type]
        assert error.value.where == where
    with pytest.raises(InputError, match="negative"):
        talk.client.limit(TASK, chunk=-1)
    with pytest.raises(EngineError, match="no such language model"):
        talk.client.ask(TASK + 1, None)  # type: ignore[arg-type]
    talk.client.cancel(TASK, 1)
    talk.until_ended(1)


def test_limits_hold_from_the_next_step_on(own: Talk) -> None:
    prompt = [each % 250 for each in range(150)]
    own.client.limit(TASK, chunk=2, batch=1)
    for number in range(2):
        own.ask(number, prompt, 5, slot=number)
    own.until_ended(0, 1)
    own.client.limit(TASK)
    for number in range(2):
        assert own.said(number) == own.wanted(prompt, 5)[0]
    # 74 chunks of two tokens and 6 decodes each, where chunks of 32 take far fewer.
    cycle = own.client.cycle(TASK)
    assert cycle is not None and cycle.number == 2 * (74 + 6)
    assert SHAPES[cycle.bucket] == Shape(1, False)
    assert (cycle.answers, cycle.context) == (1, 154)
    assert cycle.taken_ns > 0 and cycle.ended_ns > 0
    # The last ones: chunks of the second prompt, what is left of it, and its answer.
    last = own.client.cycles(TASK, cycle.number - 7)
    assert [each.tokens for each in last] == [0, 0, 1, 1, 1, 1, 1]
    assert last[-1] == cycle


def test_a_model_is_loaded_only_as_it_can_run(talk: Talk) -> None:
    model = talk.model
    plan = plan_of(model)
    with pytest.raises(EngineError, match="already loaded"):
        talk.load_model()
    with pytest.raises(EngineError, match="already loaded"):
        talk.load(TASK)
    for fields, message in (
        ({"criticality": Criticality.HIGH}, "best_effort or low"),
        ({"criticality": Criticality.LOW}, "cannot keep the promise"),
        ({"plan": GeneratorPlan((1,) * 6, (0, 1, 2, 3, 4, 5), 3)}, "other steps"),
        ({"shapes": SHAPES[:-1]}, "other steps"),
        ({"cache": cache_of(model, 2)}, "does not fit"),
        ({"lane": 1}, "no such lane"),
        ({"compiled": replace(model, digests=("0" * 64,) * 3)}, "not|damaged"),
    ):
        with pytest.raises(EngineError, match=message):
            talk.load_model(task_id=TASK + 1, **fields)
    assert plan.steps == 3 * 2 + 3 * 3
    talk.ask(1)
    talk.until_ended(1)


def test_a_model_with_a_promise_and_one_of_best_effort_answer_beside_each_other(own: Talk) -> None:
    own.load_model(task_id=TASK + 1, criticality=Criticality.LOW, deadline_ns=10**11)
    own.client.ask(TASK + 1, Asked(1, 0, [1, 2, 3], 20, GREEDY))
    own.ask(2, [1, 2, 3], 20)
    own.until_ended(1, 2)
    assert own.said(1) == own.said(2) == own.wanted([1, 2, 3], 20)[0]


def test_a_backend_that_runs_none_says_who_does(tmp_path: Path) -> None:
    model = compiled(tmp_path)
    with Bench() as bench:
        spec = LoadGenerator(TASK, "it", model, 0, plan_of(model), SHAPES, cache_of(model))
        with pytest.raises(EngineError, match="runs no language models") as error:
            bench.client.load_generator(spec)
        assert "onnxruntime" in error.value.expected


def test_every_bucket_is_measured_on_the_lane(talk: Talk) -> None:
    done: list[int] = []
    found = talk.client.measure_generator(
        talk.model,
        0,
        slots=2,
        runs=4,
        cold=True,
        on_progress=lambda count, worst_ns: done.append(count) is None,
    )
    assert [(each.prefill, each.tokens) for each in found] == [
        (True, 2), (True, 4), (True, 8), (True, 16), (True, 32), (False, 1), (False, 2),
    ]  # fmt: skip
    for each in found:
        assert each.samples_ns.shape == (4, 2 if each.prefill else 3)
        assert (each.samples_ns > 0).all()
    assert done[-1] == 4


def test_an_engine_that_is_killed_loses_what_it_was_asked_and_answers_again(
    own_endless: Talk,
) -> None:
    own = own_endless
    for number in range(3):
        own.ask(number, [1, 2, 3], ENDLESS, slot=number)
    own.until_said(2)
    own.kill(signal.SIGKILL)
    own.until_ended(0, 1, 2)
    assert [own.endings(number) for number in range(3)] == [[Ending.LOST]] * 3
    own.wait(lambda heard: any(event.recovered for event in heard.events), "its recovery")
    own.ask(5, [1, 2, 3], 9)
    own.until_ended(5)
    assert own.said(5) == own.wanted([1, 2, 3], 9)[0]
    assert [own.endings(number) for number in range(3)] == [[Ending.LOST]] * 3


def test_what_is_asked_of_an_engine_that_is_gone_is_refused_for_now(own: Talk) -> None:
    own.client.stop()
    with pytest.raises(EngineError):
        own.ask(1)
    own.client.start()
    own.load_model()
    own.ask(1)
    own.until_ended(1)


@pytest.mark.parametrize("stop", [False, True])
def test_a_model_that_is_removed_while_it_speaks_ends_its_answers(
    own_endless: Talk, stop: bool
) -> None:
    own = own_endless
    for number in range(2):
        own.ask(number, [1, 2, 3], ENDLESS, slot=number)
    own.until_said(1)
    if stop:
        own.client.stop()
    else:
        own.client.unload(TASK)
    assert [own.endings(number) for number in range(2)] == [[Ending.REMOVED]] * 2
    if not stop:
        own.load_model()
        own.ask(2, [1, 2, 3], 9)
        own.until_ended(2)
        assert own.said(2) == own.wanted([1, 2, 3], 9)[0]


def test_answers_of_a_model_have_ended_before_the_engine_is_told_to_drop_it(
    own_endless: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_endless
    own.ask(1, [1, 2, 3], ENDLESS)
    own.until_said(1)
    seen: list[list[Ending]] = []

    def send(process: Any, request: Any) -> None:
        seen.append(own.endings(1))
        send_if_running(process, request)

    monkeypatch.setattr(client, "send_if_running", send)
    own.client.unload(TASK)
    assert seen == [[Ending.REMOVED]]


def test_whatever_stands_in_the_memory_the_engine_goes_on(own: Talk) -> None:
    pid = own.client.status().pid
    random = np.random.default_rng(3)
    (conversation,) = (each for _, each in own.client._contents._generators.values())
    words = conversation.memory.bytes
    for number in range(60):
        slot = number % 4
        own.ask(number, [1, 2, 3], 40, slot=slot)
        own.until_said(number)
        for _ in range(20):
            at = int(random.integers(0, len(words) - 8))
            words[at : at + 8] = random.integers(0, 256, 8, np.uint8)
        head = words[: 8 * 10 + 4 * 64]  # limits, and what requests are
        head[:] = random.integers(0, 256, len(head), np.uint8)
        own.client.cancel(TASK, number)
        own.client.limit(TASK)
        own.until_ended(number)
        assert len(own.endings(number)) == 1
    own.ask(1000, [1, 2, 3], 9)
    own.until_ended(1000)
    assert own.said(1000) == own.wanted([1, 2, 3], 9)[0]
    assert own.client.status().pid == pid


def test_an_answer_goes_on_after_its_lane_had_to_shed_it(own: Talk, tmp_path: Path) -> None:
    """A critical network exceeds its budget each time, and the lane drops all else."""
    means = create_backend("onnxruntime").compile(make_network(tmp_path), tmp_path)
    channel = own.channel()
    for number in range(1, 9):
        own.load(100 + number, compiled=means, wcet_ns=(1,))
    own.ask(1, [1, 2, 3], LONG)
    own.ask(2, [4, 5], LONG, slot=1)
    for number in range(1, 9):
        own.until_said(1, 2 * number)
        own.feed(channel, 100 + number)
        own.wait(lambda heard, number=number: len(heard.restored) == number, "the end of it")
    own.until_ended(1, 2)
    assert all(event.sheds for event in own.heard.overruns)
    assert own.said(1) == own.wanted([1, 2, 3], LONG)[0]
    assert own.said(2) == own.wanted([4, 5], LONG)[0]


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no resident size")


@pytest.mark.timeout(600)
def test_of_a_thousand_requests_each_is_answered_once_and_memory_stays(talk: Talk) -> None:
    """Prompts, lengths, seeds and cancellations at random; texts are those of a decoder alone."""
    random = np.random.default_rng(11)
    model = talk.model
    decoder = Decoder(model.facts, model.paths, context=model.facts.context)
    pieces = [b""] * model.facts.vocabulary
    pid = talk.client.status().pid
    free = deque(range(4))
    asked: dict[int, tuple[list[int], int, Sampling, int]] = {}
    cancelled: set[int] = set()
    seen = 0
    resident = 0
    for number in range(1000):
        while not free:
            talk.wait(lambda heard, seen=seen: len(heard.spoken) > seen, "news")
            news = talk.heard.spoken[seen:]
            seen += len(news)
            free += [asked[each.request][3] for each in news if each.ended is not None]
        slot = free.popleft()
        length = int(random.integers(1, 40 if number % 50 else 257))
        prompt = random.integers(0, model.facts.vocabulary, length).tolist()
        sampling = Sampling(float(random.choice([0.0, 0.8])), 0.9, number)
        asked[number] = prompt, int(random.integers(1, 12)), sampling, slot
        talk.ask(number, prompt, asked[number][1], slot=slot, sampling=sampling)
        if random.random() < 0.1:
            cancelled.add(number)
            talk.client.cancel(TASK, number)
        if number == 300:
            resident = _resident(pid)
    talk.until_ended(*asked)
    assert talk.client.status().pid == pid
    assert _resident(pid) < resident + 8 * 1024 * 1024
    spoken: dict[int, list[int]] = {number: [] for number in asked}
    ends: dict[int, list[Ending]] = {number: [] for number in asked}
    for each in talk.heard.spoken:
        spoken[each.request] += each.tokens
        ends[each.request] += [] if each.ended is None else [each.ended]
    for number, (prompt, most, sampling, _) in asked.items():
        answer = Answer(model.facts, pieces, Question(tokens=prompt, sampling=sampling, most=most))
        for _ in answered(decoder, [answer]):
            pass
        assert len(ends[number]) == 1
        if number in cancelled and ends[number] == [Ending.CANCELLED]:
            assert spoken[number] == answer.tokens[: len(spoken[number])]
        else:
            assert (spoken[number], ends[number]) == (answer.tokens, [answer.ending])


def test_a_prompt_about_an_image_is_answered_as_by_the_three_graphs(tmp_path: Path) -> None:
    path = vision.write_vlm(tmp_path / "model")
    model = vision.made(path, tmp_path / "made", parts=2, image_parts=3)
    shapes = shapes_of(model.facts, 1)
    prompt, image = vision.prompt(), vision.picture(1)
    cache, plan = cache_of(model, 1), plan_of(model, shapes)
    with Bench(backend="onnxruntime") as bench:
        bench.client.load_generator(LoadGenerator(TASK, "eye", model, 0, plan, shapes, cache))
        with pytest.raises(InputError, match="image") as told:
            bench.client.ask(TASK, Asked(1, 0, prompt, 8, GREEDY, image[1:]))
        assert told.value.where == "image"
        bench.client.ask(TASK, Asked(2, 0, prompt, 8, GREEDY, image))
        bench.wait(lambda heard: any(each.ended for each in heard.spoken), "the end")
        said = [token for each in bench.heard.spoken for token in each.tokens]
    assert said == vision.greedy(tmp_path / "model", prompt, image, 8)
