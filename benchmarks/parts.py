"""The benchmarks that ``python -m benchmarks`` runs, in order."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PARTS", "Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark.

    Attributes:
        name: of its files.
        title: on the page.
        module: that is run.
        options: beside ``--quick``.
    """

    name: str
    title: str
    module: str
    options: tuple[str, ...] = ()


PARTS = (
    Part("engine", "The engine: dispatch, hand-over, recovery", "benchmarks.engine"),
    Part("recovery", "Recovery from SIGKILL on busy cores", "benchmarks.recovery"),
    Part("ros", "The node over DDS, against a bare subscriber", "benchmarks.ros"),
    Part("stack", "Several networks on one core, in four ways", "benchmarks.stack"),
    Part(
        "dispatch", "Dispatch beside three 720p cameras", "benchmarks.stack", ("--dispatch",)
    ),
    Part("segments", "What cutting a network costs", "benchmarks.segments"),
    Part("backends", "The same networks on each runtime", "benchmarks.backends"),
    Part("analysis", "The proof and the simulator", "benchmarks.analysis"),
    Part("acceptance", "How much the tests accept", "benchmarks.analysis.acceptance"),
    Part("trace", "What tracing costs", "benchmarks.trace"),
    Part("answers", "Quick services beside admissions", "benchmarks.answers"),
    Part("generators", "Language models in the slack of a lane", "benchmarks.generators"),
    Part("memory", "Networks whose weights do not all fit", "benchmarks.memory"),
    Part("soak", "Faults, and what is lost, late or leaked", "benchmarks.soak"),
)  # fmt: skip
