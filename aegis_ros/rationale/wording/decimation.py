"""The English of :mod:`aegis_ros.rationale.decimation`."""

from __future__ import annotations

from aegis_ros.rationale import decimation
from aegis_ros.rationale.decimation import DecimationCause
from aegis_ros.rationale.wording.units import every_nth
from aegis_ros.rationale.wording.words import words_of


@words_of(decimation.DecimationChanged)
def _decimation_changed(reason: decimation.DecimationChanged) -> str:
    full = 1e9 / reason.period_ns
    rates = f"{full / reason.after:.1f} instead of {full / reason.before:.1f} a second"
    return f"{reason.task} now takes {every_nth(reason.after)} ({rates}){_why(reason)}"


def _why(reason: decimation.DecimationChanged) -> str:
    match reason.cause:
        case DecimationCause.ADMITTED:
            return f" so that {reason.other} fits"
        case DecimationCause.REMOVED:
            return f" because {reason.other} was removed"
        case DecimationCause.SHARED_ANEW:
            return " because frames were redistributed"
        case DecimationCause.SLOWER:
            return (
                f": at {reason.factor:.0%} of its nominal speed, the device cannot run more frames "
                f"of lane {reason.lane} in time"
            )
        case DecimationCause.FASTER:
            return (
                f": at {reason.factor:.0%} of its nominal speed, the device can run these frames "
                f"of lane {reason.lane} in time again"
            )
