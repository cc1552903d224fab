"""Adapts generators to memory and speed, within what was admitted; no I/O, threads or clock."""

from aegis_ros.scheduling.adaptation.controller import Controller, Refused
from aegis_ros.scheduling.adaptation.figures import Figures, MemoryFailure
from aegis_ros.scheduling.adaptation.menu import Choice, Limits, Menu
from aegis_ros.scheduling.adaptation.policy import AdaptationPolicy, Wish
from aegis_ros.scheduling.adaptation.registry import adaptation_names, controller_of
from aegis_ros.scheduling.adaptation.rules import DefaultRules, Thresholds

__all__ = [
    "AdaptationPolicy",
    "Choice",
    "Controller",
    "DefaultRules",
    "Figures",
    "Limits",
    "MemoryFailure",
    "Menu",
    "Refused",
    "Thresholds",
    "Wish",
    "adaptation_names",
    "controller_of",
]
