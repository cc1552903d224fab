"""`aegis security`: the policy of SROS2 for a robot's configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aegis_ros.config import load_config
from aegis_ros.errors import ConfigError
from aegis_ros.security import Names, enclaves, policy

__all__ = ["print_policy"]


def print_policy(
    file: Path, *, name: str, namespace: str, enclave: str, remap: Sequence[str]
) -> int:
    """Print the policy; return 0.

    Args:
        file: configuration of the orchestrator.
        name: of the orchestrator node.
        namespace: of all nodes.
        enclave: path that the enclaves are below.
        remap: rules, as ``FROM:=TO``.

    Raises:
        ConfigError: the file or an argument cannot be used.
    """
    names = Names(name, namespace, tuple(_rule(each) for each in remap))
    print(policy(enclaves(load_config(file), names, enclave)), end="")
    return 0


def _rule(text: str) -> tuple[str, str]:
    old, arrow, new = text.partition(":=")
    if not arrow:
        raise ConfigError("no rule", where="--remap", value=text, expected="FROM:=TO")
    return old, new
