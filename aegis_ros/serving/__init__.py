"""Serves HTTP to programs that are not trusted: who may ask, how much, how often and for how long.

Importing :mod:`aegis_ros.serving.server` and :mod:`aegis_ros.serving.guard` needs the packages of
the extra ``dashboard``.
"""

from aegis_ros.serving.listening import Listening
from aegis_ros.serving.token import read_token

__all__ = ["Listening", "read_token"]
