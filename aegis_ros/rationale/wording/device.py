"""The English of :mod:`aegis_ros.rationale.device`."""

from __future__ import annotations

from aegis_ros.rationale import device
from aegis_ros.rationale.wording.units import plural
from aegis_ros.rationale.wording.words import words_of


@words_of(device.DeviceSpeed)
def _device_speed(reason: device.DeviceSpeed) -> str:
    heat = f"{reason.temperature_c:.0f} °C" if reason.temperature_c is not None else ""
    known = ", ".join(filter(None, (reason.source, heat)))
    read = f" ({known})" if known else ""
    if reason.shed > 1:
        follows = f"{reason.shed} tasks are shed"
    elif reason.shed:
        follows = "one task is shed"
    else:
        follows = "every deadline holds"
    if reason.decimated:
        follows += f", with fewer frames of {plural(reason.decimated, 'task')}"
    if reason.factor == 1.0:
        return f"the device runs at its nominal speed{read}; {follows}"
    return (
        f"the device runs at {reason.factor:.0%} of its nominal speed{read}, so budgets are scaled "
        f"by {1 / reason.factor:.2f}; {follows}"
    )


@words_of(device.ShedForSpeed)
def _shed_for_speed(reason: device.ShedForSpeed) -> str:
    return (
        f"{reason.task} ({reason.criticality}) is shed: at {reason.factor:.0%} of its nominal "
        f"speed, the device would need {reason.utilization_before:.1%} of lane {reason.lane} for "
        "all its tasks and cannot meet all deadlines; tasks that are more critical or smaller stay"
    )


@words_of(device.RestoredForSpeed)
def _restored_for_speed(reason: device.RestoredForSpeed) -> str:
    reserve = f", with {reason.margin:.0%} in reserve" if reason.factor < 1.0 else ""
    return (
        f"{reason.task} runs again: for {reason.hold_ns / 1e9:g} s the device, now at "
        f"{reason.factor:.0%} of its nominal speed, has been fast enough for all deadlines of lane "
        f"{reason.lane}{reserve}"
    )
