"""Answers programs that speak the chat API of OpenAI over HTTP with a robot's generators.

Importing :mod:`aegis_ros.chat.server` needs the packages of the extra ``chat``.
"""

from aegis_ros.chat.robot import Answered, Message, Question, Robot
from aegis_ros.chat.settings import Settings

__all__ = ["Answered", "Message", "Question", "Robot", "Settings"]
