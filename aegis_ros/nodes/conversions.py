"""Between messages and the plain data of the library; alone knows both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml
from builtin_interfaces.msg import Time

from aegis_ros.config import parse_task, task_to_mapping
from aegis_ros.errors import ConfigError
from aegis_ros.msg import Counterfactual as CounterfactualMsg
from aegis_ros.msg import LaneStatus, ModelTask, OrchestratorStatus, TaskStatus, Tensor
from aegis_ros.msg import Rationale as RationaleMsg
from aegis_ros.msg import ResponseBound as ResponseBoundMsg
from aegis_ros.msg import Witness as WitnessMsg
from aegis_ros.orchestrator import LaneSummary, OrchestratorState, Registration, TaskSummary
from aegis_ros.rationale import Rationale, Witness
from aegis_ros.rationale.plain import kind_of, to_plain
from aegis_ros.spec import TaskSpec

__all__ = [
    "fill_registration",
    "rationale_to_message",
    "status_to_message",
    "task_from_message",
    "task_to_message",
    "tensor_to_message",
    "time_from_ns",
]

_MAX_OPTIONS = 65_536


def time_from_ns(value_ns: int) -> Time:
    """Return nanoseconds since 1970 as a message; times before it as 0."""
    sec, nanosec = divmod(max(value_ns, 0), 1_000_000_000)
    return Time(sec=min(sec, 2**31 - 1), nanosec=nanosec)


def task_from_message(message: ModelTask) -> TaskSpec:
    """Validate a task that came through a service.

    Empty fields mean the default, so they are left out before the models of the configuration
    file see the rest.

    Raises:
        ConfigError: it is not valid; the text names the field as in the configuration file.
    """
    source, pre, output = message.input, message.preprocess, message.output
    values: dict[str, Any] = {
        "name": message.name,
        "model": message.model,
        "period_ms": message.period_ms,
        "jitter_ms": message.jitter_ms,
        "input": _given(
            topic=source.topic,
            type=source.type,
            qos=source.qos,
            max_size=list(source.max_size),
            max_points=source.max_points,
        ),
        "preprocess": _given(
            size=list(pre.size),
            color=pre.color,
            layout=pre.layout,
            scale=pre.scale,
            mean=list(pre.mean),
            std=list(pre.std),
            resize=pre.resize,
            interpolation=pre.interpolation,
            dtype=pre.dtype,
            input_name=pre.input_name,
        )
        | ({"pad": pre.pad} if pre.pad_set else {}),
        "output": _given(
            topic=output.topic,
            decoder=output.decoder,
            options=_mapping(output.options, "task.output.options", "{threshold: 0.5}"),
            annotate=output.annotate,
            publish_ms=output.publish_ms,
            constant_latency_ms=output.constant_latency_ms,
        )
        | {"tensors": not output.omit_tensors},
        "dimensions": _dimensions(message.dimensions),
    }
    values |= _given(
        deadline_ms=message.deadline_ms,
        criticality=message.criticality,
        on_overrun=message.on_overrun,
        early_exit=_mapping(message.early_exit, "task.early_exit", "{logits: aux_logits}"),
        queue=message.queue,
        lane=message.lane,
        sha256=message.sha256,
        wcet_ms=message.wcet_ms,
        segments=message.segments,
        thin_to=message.thin_to,
    )
    return parse_task(values)


def task_to_message(spec: TaskSpec) -> ModelTask:
    """Return the message that :func:`task_from_message` turns into an equal spec."""
    values = task_to_mapping(spec)
    message = ModelTask()
    for name in (
        "name",
        "model",
        "period_ms",
        "deadline_ms",
        "jitter_ms",
        "criticality",
        "on_overrun",
        "queue",
        "lane",
        "sha256",
        "wcet_ms",
    ):
        setattr(message, name, values[name])
    for name in ("topic", "type", "qos", "max_size", "max_points"):
        setattr(message.input, name, values["input"][name])
    pre = values["preprocess"]
    for name in (
        "color",
        "layout",
        "scale",
        "mean",
        "std",
        "resize",
        "pad",
        "interpolation",
        "dtype",
        "input_name",
    ):
        setattr(message.preprocess, name, pre[name])
    message.segments = spec.segments
    message.thin_to = spec.thin_to
    message.early_exit = _mapping_text(values["early_exit"])
    message.preprocess.size = pre["size"] or []
    message.preprocess.pad_set = True
    output = values["output"]
    for name in ("topic", "decoder", "annotate", "publish_ms", "constant_latency_ms"):
        setattr(message.output, name, output[name])
    message.output.omit_tensors = not output["tensors"]
    message.output.options = _mapping_text(output["options"])
    message.dimensions = [f"{name}={value}" for name, value in values["dimensions"].items()]
    return message


def rationale_to_message(rationale: Rationale) -> RationaleMsg:
    """Return a decision as a message."""
    return RationaleMsg(
        stamp=time_from_ns(rationale.time_ns),
        id=rationale.id,
        related=rationale.related,
        task=rationale.task,
        job=rationale.job,
        decision=str(rationale.decision),
        rule=str(rationale.rule),
        sentence=rationale.sentence,
        kind="" if rationale.reason is None else kind_of(type(rationale.reason)),
        data_json="" if rationale.reason is None else json.dumps(to_plain(rationale.reason)),
        left=float(rationale.left),
        relation=rationale.relation,
        right=float(rationale.right),
        unit=rationale.unit,
        lane=rationale.lane,
        utilization_before=float(rationale.utilization_before),
        utilization_after=float(rationale.utilization_after),
        witness=_witness(rationale.witness),
        responses=[
            ResponseBoundMsg(
                task=item.task,
                lane=item.lane,
                bound_ms=item.bound_ns / 1e6,
                deadline_ms=item.deadline_ns / 1e6,
            )
            for item in rationale.responses
        ],
        counterfactuals=[
            CounterfactualMsg(
                task=item.task, change=item.change, value=float(item.value), sentence=item.sentence
            )
            for item in rationale.counterfactuals
        ],
        count=rationale.count,
    )


def fill_registration(response: Any, answer: Registration) -> Any:
    """Fill the response of RegisterModel or EvaluateModel."""
    response.admitted = answer.accepted
    response.result = int(answer.result)
    response.rationale = rationale_to_message(answer.rationale)
    response.utilization_before = float(answer.utilization_before)
    response.utilization_after = float(answer.utilization_after)
    response.bound = float(answer.bound)
    response.response_bound_ms = answer.response_bound_ns / 1e6
    response.deadline_ms = answer.deadline_ns / 1e6
    return response


def status_to_message(state: OrchestratorState, lifecycle: str, now_ns: int) -> OrchestratorStatus:
    """Return everything at one moment as a message."""
    return OrchestratorStatus(
        stamp=time_from_ns(now_ns),
        state=lifecycle,
        backend=state.engine.backend if state.engine else "",
        device=state.engine.device if state.engine else "",
        engine_pid=state.engine_status.pid,
        engine_restarts=state.engine_status.restarts,
        engine_restart_ms=state.engine_status.restart_ns / 1e6,
        engine_determinism=state.engine.determinism if state.engine else "",
        arena_bytes=state.arena_bytes,
        arena_used_bytes=state.arena_used_bytes,
        lanes=[_lane(item) for item in state.lanes],
        tasks=[task_status(item) for item in state.tasks],
    )


def task_status(item: TaskSummary) -> TaskStatus:
    """Return one task with its figures as a message."""
    return TaskStatus(
        id=item.task_id,
        spec=task_to_message(item.spec),
        state=str(item.state),
        model_sha256=item.model_sha256,
        wcet_ms=item.wcet_ns / 1e6,
        wcet_source=item.wcet_source,
        lane=item.lane,
        response_bound_ms=item.response_bound_ns / 1e6,
        utilization=float(item.utilization),
        arena_bytes=item.arena_bytes,
        received=item.received,
        completed=item.completed,
        missed=item.missed,
        skipped=item.skipped,
        lost=item.lost,
        every_nth=item.every_nth,
        thinned=item.thinned,
        overruns=item.overruns,
        early_exits=item.early_exits,
        rate_hz=float(item.rate_hz),
        response_p50_ms=item.response_p50_ns / 1e6,
        response_p99_ms=item.response_p99_ns / 1e6,
        response_max_ms=item.response_max_ns / 1e6,
        execution_p50_ms=item.execution_p50_ns / 1e6,
        execution_max_ms=item.execution_max_ns / 1e6,
        result_age_s=item.result_age_s,
    )


def tensor_to_message(name: str, values: np.ndarray) -> Tensor:
    """Return a tensor as a message; its data is copied once."""
    message = Tensor(name=name, dtype=str(values.dtype), shape=list(values.shape))
    # bytes are taken over as they are; an ndarray would be converted value by value
    message.data = np.ascontiguousarray(values).tobytes()
    return message


def _given(**values: Any) -> dict[str, Any]:
    """Leave out what is empty, zero or false: it means the default."""
    return {name: value for name, value in values.items() if value}


def _mapping(text: str, where: str, example: str) -> dict[str, Any]:
    """Return the mapping that a field holds as YAML."""
    if not text.strip():
        return {}
    if len(text) > _MAX_OPTIONS:
        raise ConfigError("too long", where=where, value=f"{len(text)} characters")
    expected = f"YAML such as {example}"
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            "not a mapping", where=where, value=text[:80], expected=expected
        ) from error
    if not isinstance(values, dict):
        raise ConfigError("not a mapping", where=where, value=text[:80], expected=expected)
    return values


def _mapping_text(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), default_flow_style=True).strip() if values else ""


def _dimensions(items: list[str]) -> dict[str, int]:
    values = {}
    for item in items:
        name, separator, extent = item.rpartition("=")
        if not separator or not name or not extent.isdigit():
            raise ConfigError(
                "not name=value", where="task.dimensions", value=item, expected="batch=1"
            )
        values[name] = int(extent)
    return values


def _witness(witness: Witness | None) -> WitnessMsg:
    if witness is None:
        return WitnessMsg()
    return WitnessMsg(
        lane=witness.lane,
        t_ms=witness.t_ns / 1e6,
        demand_ms=witness.demand_ns / 1e6,
        blocking_ms=witness.blocking_ns / 1e6,
        blocking_task=witness.blocking_task,
        slack_ms=witness.slack_ns / 1e6,
    )


def _lane(item: LaneSummary) -> LaneStatus:
    return LaneStatus(
        name=item.name,
        cpu=-1 if item.cpu is None else item.cpu,
        utilization_admitted=float(item.utilization_admitted),
        utilization_measured=float(item.utilization_measured),
        slack_ms=item.slack_ns / 1e6,
        running=item.running,
        waiting=item.waiting,
    )
