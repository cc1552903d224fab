"""What each of our nodes uses of the ROS graph, for one configuration.

Tests hold it to what running nodes really use (test/nodes/test_security_policy.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from aegis_ros.security.names import Names, check_path
from aegis_ros.spec import OrchestratorSpec

__all__ = ["COMPANIONS", "ROOT", "Enclave", "Profile", "enclaves"]

ROOT = "/aegis"  # that the enclaves are below

# Beside the results of a task, by what its decoder makes.
COMPANIONS = ("classification", "depth", "detections", "embedding", "keypoints", "mask")
_ANNOTATED = "annotated"

_PARAMETERS = tuple(
    f"~/{name}"
    for name in (
        "describe_parameters",
        "get_parameter_types",
        "get_parameters",
        "list_parameters",
        "set_parameters",
        "set_parameters_atomically",
    )
)
_TYPES = "~/get_type_description"
_LIFECYCLE = tuple(
    f"~/{name}"
    for name in (
        "change_state",
        "get_available_states",
        "get_available_transitions",
        "get_state",
        "get_transition_graph",
    )
)
_TASKS = tuple(
    f"~/{name}"
    for name in (
        "evaluate_model",
        "evaluate_requests",
        "list_models",
        "register_model",
        "set_task_enabled",
        "unregister_model",
    )
)
_ACTIONS = ("~/profile_model", "~/generate")
_NEWS = ("~/status", "~/rationale")
_ALL_NODES = ("/parameter_events", "/rosout")  # published
_CLOCK = "/clock"


@dataclass(frozen=True, slots=True)
class Profile:
    """What one node uses, all names absolute.

    Attributes:
        node: its name, or a pattern of the names of several.
        namespace: absolute.
        publish: topics.
        subscribe: topics.
        reply: services that it has.
        request: services that it calls.
        execute: actions that it has.
        call: actions that it calls.
    """

    node: str
    namespace: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    reply: tuple[str, ...] = ()
    request: tuple[str, ...] = ()
    execute: tuple[str, ...] = ()
    call: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Enclave:
    """What shares one certificate: the nodes of one process.

    Attributes:
        path: of the enclave in a keystore.
        profiles: of its nodes.
    """

    path: str
    profiles: tuple[Profile, ...]


def enclaves(spec: OrchestratorSpec, names: Names, root: str = ROOT) -> tuple[Enclave, ...]:
    """Return the enclaves of all programs that belong to a configuration.

    Args:
        spec: the configuration.
        names: how the orchestrator resolves names; the others are in its namespace, and remap
            as it does.
        root: path that the enclaves are below.

    Raises:
        ConfigError: ``root`` is no path.
    """
    check_path("enclave", root)
    sensors = {source.topic for task in spec.tasks for _, source, _ in task.sources}
    heard = names.all(*sorted(sensors))
    results = names.all(*(task.output.topic for task in spec.tasks))
    made = tuple(
        topic
        for task in spec.tasks
        for topic in names.beside(
            task.output.topic, (*((_ANNOTATED,) if task.output.annotate else ()), *COMPANIONS)
        )
    )
    news = names.all(*_NEWS)
    tasks = names.all(*_TASKS)
    prompts = [each.prompts for each in spec.generators if each.prompts is not None]
    asked = names.all(*(each.topic for each in prompts if each.topic))
    images = [each.image for each in spec.generators if each.image is not None]
    shown = names.all(*(topic for each in images for topic in each.topics))
    answers = names.all(*(each.answers for each in prompts))
    intake = replace(names, node=f"{names.node}_intake", remaps=())
    prompting = replace(names, node=f"{names.node}_prompts", remaps=())
    dashboard = replace(names, node="dashboard")
    chat = replace(names, node="chat")
    replay = replace(names, node="replay")
    monitor = Names("aegis_monitor")
    programs = {
        "orchestrator": (
            Profile(
                names.node,
                names.namespace,
                publish=(
                    *names.all(*_ALL_NODES, "/diagnostics", "~/transition_event"),
                    *news,
                    *results,
                    *made,
                    *answers,
                ),
                subscribe=names.all(_CLOCK),
                reply=(*names.all(*_PARAMETERS, _TYPES, *_LIFECYCLE), *tasks),
                execute=names.all(*_ACTIONS),
            ),
            # It takes names as the orchestrator has resolved them, and remaps nothing itself.
            Profile(
                intake.node,
                intake.namespace,
                publish=intake.all(*_ALL_NODES),
                subscribe=(*intake.all(_CLOCK), *heard),
                reply=intake.all(_TYPES),
            ),
            *((_prompts_profile(prompting, (*asked, *shown)),) if asked or shown else ()),
        ),
        "dashboard": (
            Profile(
                dashboard.node,
                dashboard.namespace,
                publish=dashboard.all(*_ALL_NODES),
                subscribe=(*news, *results),
                reply=dashboard.all(*_PARAMETERS, _TYPES),
                request=names.all("~/evaluate_model", "~/set_task_enabled"),
            ),
        ),
        "chat": (
            Profile(
                chat.node,
                chat.namespace,
                publish=chat.all(*_ALL_NODES),
                subscribe=names.all("~/status"),
                reply=chat.all(*_PARAMETERS, _TYPES),
                call=names.all("~/generate"),
            ),
        ),
        "monitor": (
            Profile(
                monitor.node,
                monitor.namespace,
                publish=monitor.all(*_ALL_NODES),
                subscribe=news,
                reply=monitor.all(*_PARAMETERS, _TYPES),
            ),
        ),
        "replay": (
            Profile(
                replay.node,
                replay.namespace,
                publish=(*replay.all(*_ALL_NODES), *heard),
                reply=replay.all(*_PARAMETERS, _TYPES),
            ),
        ),
        "operator": (
            # As `ros2` calls its nodes, which are new with every command.
            Profile(
                "_ros2cli_*",
                "/",
                publish=(*_ALL_NODES, *asked),
                subscribe=(*news, "/diagnostics", *results, *made, *answers),
                reply=("/_ros2cli_*/get_type_description",),
                request=(*names.all(*_PARAMETERS, *_LIFECYCLE), *tasks),
                call=names.all(*_ACTIONS),
            ),
        ),
    }
    return tuple(
        Enclave(f"{root.rstrip('/')}/{name}", profiles) for name, profiles in programs.items()
    )


def _prompts_profile(names: Names, asked: tuple[str, ...]) -> Profile:
    """Return what the node uses that takes prompts."""
    return Profile(
        names.node,
        names.namespace,
        publish=names.all(*_ALL_NODES),
        subscribe=asked,
        reply=names.all(_TYPES),
    )
