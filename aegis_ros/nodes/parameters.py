"""Declares a node's parameters, so that each takes effect, or says why it does not.

rclpy's own typing ends a node with a traceback where a launch file gives 1 for 1.0, and accepts any
value that nothing reads again. Here whole numbers are numbers, a value that is wrong is refused
with what was expected, and a parameter is either applied when it is set or refused with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.unheard_files import warn_of_files
from aegis_ros.nodes.unknown_parameters import warn_of_unknown

__all__ = ["Declaration", "Parameters"]

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Declaration:
    """One parameter; its type is that of its default.

    Attributes:
        name: of the parameter.
        default: where no value is given.
        text: what it means.
        low: least number.
        high: largest number.
        fixed: why it cannot be set while the node runs; empty where it can.
    """

    name: str
    default: Value
    text: str
    low: float | None = None
    high: float | None = None
    fixed: str = ""

    def checked(self, value: object) -> Value:
        """Return a value of the parameter's type.

        Raises:
            ConfigError: it is none.
        """
        if isinstance(self.default, float) and type(value) is int:
            value = float(value)
        if not isinstance(value, bool | int | float | str) or type(value) is not type(self.default):
            raise self._refused(value)
        if not isinstance(value, bool | str) and not self._inside(value):
            raise self._refused(value)
        return value

    def descriptor(self) -> ParameterDescriptor:
        """Return what ``ros2 param describe`` shows."""
        text = f"{self.text} {_sentence(self.fixed)}".strip()
        found = ParameterDescriptor(description=text, dynamic_typing=True)
        if self.low is not None and self.high is not None:
            if isinstance(self.default, float):
                bounds = FloatingPointRange(from_value=self.low, to_value=self.high)
                found.floating_point_range = [bounds]
            else:
                low, high = int(self.low), int(self.high)
                found.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        return found

    def _inside(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
        )

    def _refused(self, value: object) -> ConfigError:
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        expected = kind[type(self.default)]
        if self.low is not None and self.high is not None:
            expected += f" from {self.low:g} to {self.high:g}"
        return ConfigError(
            "the value cannot be used",
            where=self.name,
            value="no value" if value is None else value,
            expected=expected,
        )


class Parameters:
    """The parameters of a node.

    Args:
        node: to declare them on.
        declarations: of all of them.
        refuse: called with the name of one that is to be set; returns why it cannot be now, empty
            where it can.
        apply: called with the new value, by name; what is not named here is read when it is used.
        later: what names of parameters begin with that others declare on the node afterwards.

    Raises:
        ConfigError: a value that was given cannot be used.
    """

    def __init__(
        self,
        node: Node,
        declarations: Sequence[Declaration],
        *,
        refuse: Callable[[str], str] = lambda name: "",
        apply: Mapping[str, Callable[[Any], object]] | None = None,
        later: Sequence[str] = (),
    ) -> None:
        """Declare them, and take the values that were given at the start; warn of unknown ones."""
        self._node = node
        self._declared = {each.name: each for each in declarations}
        self._refuse = refuse
        self._apply = dict(apply or {})
        # Without their ranges: rclpy would end the node over a value outside one.
        given = {
            each.name: node.declare_parameter(
                each.name, each.default, ParameterDescriptor(dynamic_typing=True)
            ).value
            for each in declarations
        }
        # First: what is refused next may follow from it.
        warn_of_files(node)
        warn_of_unknown(node, later)
        for each in declarations:
            node.set_parameters([Parameter(each.name, value=each.checked(given[each.name]))])
            node.set_descriptor(each.name, each.descriptor())
        node.add_pre_set_parameters_callback(self._as_numbers)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def __getitem__(self, name: str) -> Any:
        """Return the present value of a parameter."""
        return self._node.get_parameter(name).value

    def _as_numbers(self, wanted: list[Parameter]) -> list[Parameter]:
        """Have whole numbers set where numbers are meant."""
        return [
            Parameter(each.name, value=float(each.value))
            if each.type_ is Parameter.Type.INTEGER
            and each.name in self._declared
            and isinstance(self._declared[each.name].default, float)
            else each
            for each in wanted
        ]

    def _check(self, wanted: list[Parameter]) -> SetParametersResult:
        for each in wanted:
            declared = self._declared.get(each.name)
            if declared is None:
                continue
            try:
                value = declared.checked(each.value)
            except ConfigError as error:
                return SetParametersResult(reason=str(error))
            reason = declared.fixed or self._refuse(each.name)
            if reason and value != self[each.name]:
                return SetParametersResult(reason=f"{each.name}: {reason}")
        return SetParametersResult(successful=True)

    def _take(self, changed: list[Parameter]) -> None:
        for each in changed:
            if each.name in self._apply:
                self._apply[each.name](each.value)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
