"""The log and the views show how far a request is that takes long."""

from __future__ import annotations

from aegis_ros.nodes.progress import ProgressLog
from aegis_ros.orchestrator import AdmissionRequest, AdmissionStage, AdmissionSummary
from aegis_ros.views.progress import progress_line


def request(
    task: str,
    stage: str,
    done: int = 0,
    total: int = 0,
    request: AdmissionRequest = AdmissionRequest.REGISTER,
) -> AdmissionSummary:
    return AdmissionSummary(task, request, AdmissionStage(stage), done, total, 1.0)


def test_one_request_is_named_with_how_far_it_is() -> None:
    assert progress_line([request("text_detector", "measuring", 140, 350)]) == (
        "measuring text_detector, 40%"
    )
    assert progress_line([]) == ""


def test_of_several_it_is_said_which_one_it_is() -> None:
    waiting = [request(name, "waiting") for name in ("d", "e", "f")]
    line = progress_line([request("c", "preparing"), *waiting], ended=2)
    assert line == "3 of 6: preparing c"
    # Networks of a file are measured before the turn of their tasks.
    ahead = [request("a", "waiting"), request("b", "loading")]
    assert progress_line(ahead) == "2 of 2: loading b"


def test_what_is_only_asked_says_so() -> None:
    asked = request("a", "preparing", request=AdmissionRequest.EVALUATE)
    assert progress_line([asked]) == "preparing a (what if)"


def test_the_log_has_a_line_for_what_begins_and_one_every_few_seconds() -> None:
    lines: list[str] = []
    now = 0.0
    log = ProgressLog(lines.append, lambda: now)
    for second in range(12):
        now = float(second)
        log.show([request("a", "measuring", second * 10, 100), request("b", "waiting")])
    log.show([request("b", "loading")], ended=1)
    log.show([])
    log.show([request("c", "preparing")])
    assert lines == [
        "1 of 2: measuring a, 0%",
        "1 of 2: measuring a, 50%",
        "1 of 2: measuring a, 100%",
        "2 of 2: loading b",
        "preparing c",
    ]
