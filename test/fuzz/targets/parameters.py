"""Requests to set parameters of the orchestrator's node, as its service takes them.

An input is JSON: a list of ``{"name": …, "type": …, "value": …}``, where the type is a number of
``ParameterType`` or none of them, and the value need not be of it.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.context import Context
from rclpy.logging import LoggingSeverity

from aegis_ros.nodes.orchestrator import OrchestratorNode
from test.fuzz.mutation import Mutator
from test.fuzz.target import Target, Try

__all__ = ["TARGET"]

_MOST_SAID = 64 * 1024
_NAMES = ("config", "state_dir", "autostart", "status_period_s", "diagnostics_period_s",
          "device_period_s", "use_sim_time", "nosuch", "", "a.b", "~",
          "qos_overrides./x")  # fmt: skip
_VALUES: tuple[tuple[int, Any], ...] = (
    (1, True),
    (2, 5),
    (3, 0.25),
    (4, "/etc/passwd"),
    (5, [1, 2]),
    (6, [True]),
    (7, [1, -1]),
    (8, [0.5]),
    (9, ["x", ""]),
    (0, None),
    (200, 1),
)
_WORDS = (
    *(f'"{name}"'.encode() for name in _NAMES),
    *b"true false null NaN Infinity -Infinity 1e999 -1 0 0.05 60.0 255 9223372036854775807".split(),
    *(b'"type": 3', b'"type": 255', b'"value": []', b'"\\u0000"', b'"\\ud800"', b'"%s%n"'),
)
# The field of the message that holds a value of a type.
_FIELDS = {
    bool: ("bool_value",),
    int: ("integer_value", "double_value"),
    float: ("double_value",),
    str: ("string_value",),
}
_LISTS = ("bool_array_value", "integer_array_value", "double_array_value", "string_array_value",
          "byte_array_value")  # fmt: skip


def _seeds() -> Sequence[bytes]:
    one = [
        [{"name": name, "type": kind, "value": value}] for name in _NAMES for kind, value in _VALUES
    ]
    several = [each for request in one[:12] for each in request]
    good = [{"name": "status_period_s", "type": 3, "value": 1.0}]
    return [json.dumps(each).encode() for each in (good, *one, [], good * 3, several)]


def _parameter(given: Any) -> Parameter:
    """Return the message; raises where no message could hold what is given."""
    if not isinstance(given["name"], str):
        raise TypeError("no name")
    value = ParameterValue(type=given["type"])
    content = given["value"]
    fields = _LISTS if isinstance(content, list) else _FIELDS.get(type(content), ())
    for field in fields:
        try:
            setattr(value, field, float(content) if field == "double_value" else content)
        except (AssertionError, ValueError, OverflowError, TypeError):
            continue  # not of this field
    return Parameter(name=given["name"], value=value)


def _answer(callback: Coroutine[Any, Any, Any]) -> Any:
    try:
        callback.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the service waits for something")


def _request(data: bytes) -> list[Parameter] | None:
    """Return the parameters that an input describes; ``None`` where it describes none."""
    try:
        wanted = json.loads(data)
        parameters = [_parameter(each) for each in wanted[:100]]
        for each in parameters:
            for text in (each.name, each.value.string_value):
                text.encode()  # as the middleware would
    except (ValueError, TypeError, KeyError, AssertionError, RecursionError):
        return None
    return parameters


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    context = Context()
    rclpy.init(context=context)
    node = OrchestratorNode(context=context)
    log = node.get_logger()
    before = log.get_effective_level()
    log.set_level(LoggingSeverity.FATAL)
    services = {service.srv_type: service for service in node.services}

    def work(data: bytes) -> bool:
        parameters = _request(data)
        if parameters is None:
            return False
        each = services[SetParameters]
        answer = _answer(
            each.callback(SetParameters.Request(parameters=parameters), SetParameters.Response())
        )
        assert len(answer.results) == len(parameters), "not every parameter has an answer"
        together = _answer(
            services[SetParametersAtomically].callback(
                SetParametersAtomically.Request(parameters=parameters),
                SetParametersAtomically.Response(),
            )
        )
        for result in (*answer.results, together.result):
            assert result.successful or result.reason, "a refusal without a reason"
            assert len(result.reason) <= _MOST_SAID, f"a refusal of {len(result.reason):,} letters"
        for name in ("status_period_s", "diagnostics_period_s", "device_period_s"):
            assert 0.05 <= node.get_parameter(name).value <= 60.0, f"{name} is outside its bounds"
        return all(result.successful for result in answer.results)

    try:
        yield work
    finally:
        log.set_level(before)  # it is kept by name: others of this process have the same
        node.close()
        node.intake_node.destroy_node()
        node.destroy_node()
        rclpy.shutdown(context=context)


TARGET = Target(
    name="parameters",
    title="parameters of the node",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=4096, text=True),
    opened=_opened,
    weight=1.0,
    brief=300,
)
