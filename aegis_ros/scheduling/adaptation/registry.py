"""Finds adaptation policies by name: ours, and those other distributions offer."""

from __future__ import annotations

from aegis_ros.errors import ConfigError
from aegis_ros.plugins import Plugins
from aegis_ros.scheduling.adaptation.controller import Controller
from aegis_ros.scheduling.adaptation.menu import Menu

__all__ = ["adaptation_names", "controller_of"]

_MOST = 500  # characters of what another's module says
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
        ConfigError: there is no such policy, or the import of another's fails.
    """
    try:
        policy = _POLICIES.load(name)
    except ConfigError:
        raise
    except Exception as error:  # somebody else's module may fail in any way
        raise ConfigError(
            "the adaptation policy cannot be imported",
            where="adaptation",
            value=name,
            expected="a module that can be imported",
            hint=f"{type(error).__name__}: {error}"[:_MOST],
        ) from error
    return Controller(task, menu, policy, name=name)
