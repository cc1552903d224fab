"""Finds adaptation policies by name: ours, and those other distributions offer."""

from __future__ import annotations

from aegis_ros.plugins import Plugins
from aegis_ros.scheduling.adaptation.controller import Controller
from aegis_ros.scheduling.adaptation.menu import Menu

__all__ = ["adaptation_names", "controller_of"]

_POLICIES = Plugins(
    "adaptation policy",
    "aegis_ros.adaptation",
    "adaptation",
    {
        "default": "aegis_ros.scheduling.adaptation.rules:DefaultRules",
        "static": "aegis_ros.scheduling.adaptation.static:StaticLimits",
    },
)


def adaptation_names() -> tuple[str, ...]:
    """Return the names of all policies, sorted."""
    return _POLICIES.names()


def controller_of(task: str, menu: Menu, name: str = "default") -> Controller:
    """Return a controller that follows a policy.

    One that cannot be made, or fails later, is left aside for ours; the controller's reasons say
    so.

    Args:
        task: name of the generator.
        menu: what was admitted.
        name: of the policy.

    Raises:
        ConfigError: there is no such policy.
        Exception: whatever the import of another's module raises.
    """
    return Controller(task, menu, _POLICIES.load(name), name=name)
