"""A language model beside a vision task: the real node, the real engine, over real DDS."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")
pytest.importorskip("mcap", reason="the extra `trace` is not installed")

from action_msgs.msg import GoalStatus
from aegis_ros.action import Generate
from aegis_ros.msg import GeneratorAnswer
from aegis_ros.srv import EvaluateRequests, RegisterModel, UnregisterModel
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import String

from aegis_ros.config import load_config
from aegis_ros.errors import ConfigError
from aegis_ros.nodes.goals import GoalClient
from aegis_ros.nodes.monitor import Monitor
from aegis_ros.security import Names, enclaves
from aegis_ros.trace.history import Trace
from aegis_ros.trace.mcap_file import read_trace
from aegis_ros.views.status import summary_line
from test.network.generator.models import write_gguf
from test.nodes.system import WAIT_SECONDS, System, running

_ENDED = (GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_ABORTED, GoalStatus.STATUS_CANCELED)

EYE = """\
  - {{name: eye, model: {folder}/identity.onnx, period_ms: 200, wcet_ms: 0.01,
     input: {{topic: /eye/image, max_size: [64, 64]}},
     preprocess: {{size: [12, 16], resize: stretch}}, output: {{topic: /eye/result}}}}
"""
LLM = """\
generators:
  - {{name: llm, model: {folder}/tiny.gguf, precision: float32, slots: 2, max_len: 128, parts: 2,
     prompts: {{topic: /ask, answers: ~/said, prefix: "Say: ", max_tokens: 5}}}}
  - {{name: gone, model: {folder}/gone.gguf}}
trace: {{file: run.mcap}}
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("generator_node")
    write_gguf(folder / "tiny.gguf")
    with running(folder, EYE.format(folder=folder), more=LLM.format(folder=folder)) as found:
        yield found


class Asker:
    def __init__(self, system: System) -> None:
        self.system = system
        self.client = GoalClient(system.robot, Generate, "/orchestrator/generate")
        assert self.client.wait_for_server(WAIT_SECONDS)
        self.heard: list[Any] = []

    def goal(self, **fields: Any) -> Any:
        sent = self.client.send_goal_async(
            Generate.Goal(**fields), feedback_callback=lambda each: self.heard.append(each.feedback)
        )
        return self.system.wait_for(sent)

    def result(self, goal: Any) -> Any:
        return self.system.wait_for(goal.get_result_async())

    def found(self) -> None:
        """Ask until feedback is heard: ROS sends none before it has found who subscribes."""

        def heard() -> bool:
            self.result(self.goal(prompt="Hello", max_tokens=40))
            return bool(self.heard)

        self.system.until(heard)
        self.heard.clear()


@pytest.fixture
def asker(system: System) -> Iterator[Asker]:
    made = Asker(system)
    yield made
    made.client.destroy()


def test_an_answer_comes_while_the_task_beside_it_is_never_late(
    system: System, asker: Asker
) -> None:
    admitted = system.rationale("demand_bound", "llm")
    assert admitted.decision == "admitted"
    system.listen("eye")
    camera = system.camera("eye")
    asker.found()
    goal = asker.goal(prompt="Hello", max_tokens=40)
    system.until(lambda: asker.heard)
    system.until(lambda: len(system.results_of("eye")) >= 5, lambda: camera.publish(system.image()))
    found = asker.result(goal)
    assert found.status == GoalStatus.STATUS_SUCCEEDED, found.result.rationale.sentence
    result = found.result
    assert result.ended in ("length", "end")
    assert 0 < result.tokens <= 40
    assert all(result.text.startswith(each.text) for each in asker.heard)


def test_what_it_runs_is_on_record_in_the_folder_of_the_node(system: System, asker: Asker) -> None:
    told = asker.result(asker.goal(prompt="Hello", max_tokens=8)).result.tokens
    path = system.folder / "state" / "nodes" / "orchestrator" / "cycles.sqlite"
    assert told > 0
    system.until(lambda: _tokens_in(path) >= told)


def _tokens_in(path: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("SELECT SUM(tokens) FROM cycle WHERE task = 'llm'")
    except sqlite3.OperationalError:  # it is being made, or written to
        return 0
    return found[0] or 0


def generator(system: System, name: str = "llm") -> Any:
    """Return what the last status says of a generator."""
    found = system.statuses[-1].generators if system.statuses else []
    return next((each for each in found if each.name == name), None)


def diagnosis(system: System, name: str) -> Any:
    """Return the latest entry of /diagnostics that has a name."""
    found = system.diagnostics[-1].status if system.diagnostics else []
    return next((each for each in found if each.name == f"/orchestrator: {name}"), None)


def test_the_status_says_what_it_does_and_what_it_may_do(system: System, asker: Asker) -> None:
    told = asker.result(asker.goal(prompt="Hello", max_tokens=8)).result.tokens
    system.until(lambda: (found := generator(system)) and found.tokens >= told > 0)
    found = generator(system)
    assert (found.state, found.problem, found.lane) == ("running", "", "main")
    assert found.model.endswith("tiny.gguf") and found.precision == "float32"
    assert (found.slots, list(found.steps[-2:])) == (2, ["decode 1", "decode 2"])
    assert list(found.given_up) == [] and found.expected_tokens_per_s > 0
    assert found.chunk_limit and found.batch_limit and found.length_limit <= found.max_len
    assert found.step_ms > 0 and found.context > 0 and found.arena_used_bytes > 0
    monitor = Monitor(system.robot, "/orchestrator")
    drawn = system.until(monitor.snapshot)
    assert [(each.name, each.tokens >= told) for each in drawn.generators] == [("llm", True)]
    assert [name for name, _ in drawn.rejected] == ["gone"]
    assert " | llm " in summary_line(drawn)
    assert found.cache_bytes % 2 == 0 and found.cache_bytes > 0
    goals: list[Any] = []

    def ask() -> None:
        if not goals or goals[-1].status in _ENDED:
            goals.append(asker.goal(prompt="Count", max_tokens=100))

    busy = system.until(
        lambda: (seen := generator(system)) and seen.running and seen, meanwhile=ask
    )
    assert busy.cache_used_bytes == busy.running * busy.cache_bytes // 2
    for goal in goals:
        asker.result(goal)
    idle = system.until(lambda: (seen := generator(system)) and not seen.running and seen)
    assert (idle.waiting, idle.stalled_s, idle.cache_used_bytes) == (0, 0.0, 0)


def test_one_that_was_refused_is_in_the_status_and_an_error_with_its_reason(
    system: System,
) -> None:
    refused = system.until(lambda: generator(system, "gone"))
    assert refused.state == "refused" and "gone.gguf" in refused.problem
    entry = system.until(lambda: diagnosis(system, "generator gone"))
    assert entry.level == DiagnosticStatus.ERROR and "gone.gguf" in entry.message
    assert diagnosis(system, "task gone") is None
    assert diagnosis(system, "generator llm").level == DiagnosticStatus.OK


def test_a_trace_names_what_it_ran_and_calls_no_answer_late(system: System, asker: Asker) -> None:
    assert asker.result(asker.goal(prompt="Hello", max_tokens=8)).result.success
    path = system.folder / "state" / "nodes" / "orchestrator" / "traces" / "run.mcap"
    trace = system.until(lambda: _with_decodes(path))
    jobs = [job for job in trace.jobs.values() if trace.task_name(job.task) == "llm"]
    assert jobs and not any(job.late_ns for job in jobs)
    assert {trace.segment_name(run.task, run.segment) for job in jobs for run in job.segments} >= {
        "decode 1 part 0",
        "decode 1 part 1",
    }


def _with_decodes(path: Path) -> Trace | None:
    """Return a trace that has decodes in it."""
    try:
        trace = read_trace(path)
    except ConfigError:  # nothing is in the file yet
        return None
    runs = [run for lane in trace.used_lanes for run in trace.lane_segments(lane)]
    found = any(trace.step_name(run.task, run.segment).startswith("decode") for run in runs)
    return trace if found else None


def test_the_same_seed_repeats_an_answer(system: System, asker: Asker) -> None:
    answers = [
        asker.result(asker.goal(prompt="Say", max_tokens=12, temperature=1.0, seed=7)).result.text
        for _ in range(2)
    ]
    assert answers[0] == answers[1]


def test_a_prompt_by_topic_is_answered_as_one_by_the_action(system: System, asker: Asker) -> None:
    answers: list[GeneratorAnswer] = []
    said = system.robot.create_subscription(
        GeneratorAnswer, "/orchestrator/said", answers.append, 10
    )
    prompts = system.robot.create_publisher(String, "/ask", 1)
    system.until(lambda: prompts.get_subscription_count() == 1)
    system.until(lambda: system.node.count_subscribers("/orchestrator/said") == 1)
    prompts.publish(String(data="Hello"))
    system.until(lambda: answers)
    alike = asker.result(asker.goal(prompt="Say: Hello", max_tokens=5)).result
    assert (answers[0].generator, answers[0].prompt) == ("llm", "Hello")
    assert (answers[0].text, answers[0].ended) == (alike.text, alike.ended)
    assert answers[0].prompt_tokens == alike.prompt_tokens
    row = system.until(lambda: diagnosis(system, "prompts of llm"))
    assert row.level == DiagnosticStatus.OK, row.message
    system.robot.destroy_publisher(prompts)
    system.robot.destroy_subscription(said)


def test_what_would_become_of_requests_is_told_and_none_is_asked(
    system: System, asker: Asker
) -> None:
    def would(**fields: Any) -> Any:
        return system.ask_node(EvaluateRequests, "evaluate_requests", **fields).result_in_time()

    system.until(lambda: (seen := generator(system)) and not seen.running)
    found = would(prompt_tokens=[20, 100, 200, 20], max_tokens=[30, 90, 5, 0])
    assert found.success and (found.running, found.waiting) == (0, 0)
    outcomes = [(each.outcome, each.answer_tokens, each.place) for each in found.requests]
    # As many run at once as it chose by what it measured: two, or one where one is faster.
    two = [("runs", 30, 0), ("runs", 28, 0), ("refused", 0, 0), ("waits", 108, 1)]
    one = [("runs", 30, 0), ("waits", 28, 1), ("refused", 0, 0), ("waits", 108, 2)]
    assert outcomes in (two, one)
    assert [bool(each.sentence) for each in found.requests] == [False, True, True, True]
    assert [each.name for each in found.steps if each.admitted] == list(generator(system).steps)
    assert all(each.longest_ms > 0 and each.parts for each in found.steps)
    assert found.longest_step_ms > 0 and found.tokens_per_s > 0
    assert found.rationale.rule == "demand_bound"
    assert (generator(system).running, generator(system).waiting) == (0, 0)
    assert "no generator lml" in would(generator="lml").rationale.sentence
    for fields, problem in (
        ({"prompt_tokens": [1] * 1025}, "at most 1024"),
        ({"prompt_tokens": [5, 0]}, "prompt_tokens[1]"),
        ({"prompt_tokens": [5, 5], "max_tokens": [1]}, "expected 2, or none"),
    ):
        refused = would(**fields)
        assert not refused.success and problem in refused.rationale.sentence


def test_the_node_that_takes_prompts_uses_what_the_policy_permits(system: System) -> None:
    found = enclaves(load_config(system.folder / "robot.yaml"), Names("orchestrator", "/"))
    profiles = {each.node: each for each in found[0].profiles}
    mine, own = profiles["orchestrator_prompts"], ("orchestrator_prompts", "/")
    robot = system.robot
    uses = {
        "publish": robot.get_publisher_names_and_types_by_node,
        "subscribe": robot.get_subscriber_names_and_types_by_node,
        "reply": robot.get_service_names_and_types_by_node,
    }
    for kind, read in uses.items():
        assert {name for name, _ in read(*own)} == set(getattr(mine, kind)), kind
    assert "/orchestrator/said" in profiles["orchestrator"].publish


def test_a_task_that_comes_takes_what_the_generator_had_and_gives_it_back(
    system: System, asker: Asker
) -> None:
    tight = system.task(
        "tight", period_ms=20.0, wcet_ms=19.53, jitter_ms=0.0, output__publish_ms=0.05
    )
    before = system.last_id()
    answer = system.call(RegisterModel, task=tight)
    assert answer.admitted, answer.rationale.sentence
    paused = system.rationale("demand_bound", "llm", after=before)
    assert paused.decision == "rejected"
    refused = asker.result(asker.goal(prompt="Hello")).result
    assert (refused.ended, refused.success) == ("refused", False)
    assert "cannot run" in refused.rationale.sentence
    found = system.until(lambda: (seen := generator(system)) and seen.state == "paused" and seen)
    assert not found.steps and "decode 1" in found.given_up and found.problem
    system.until(
        lambda: (
            (seen := diagnosis(system, "generator llm"))
            and seen.level == DiagnosticStatus.WARN
            and seen.message.startswith("gave up all its steps")
        )
    )
    assert system.call(UnregisterModel, name="tight").success
    system.until(lambda: asker.result(asker.goal(prompt="Hello", max_tokens=2)).result.success)
