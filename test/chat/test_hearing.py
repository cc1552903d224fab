"""What is left of a question that cannot be asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `chat` is not installed")
pytest.importorskip("uvicorn", reason="the extra `chat` is not installed")

from aegis_ros.chat import Message, Question
from aegis_ros.chat.hearing import Hearing
from aegis_ros.errors import StateError
from test.chat.robot import Asked, FakeRobot


def test_a_question_that_cannot_be_asked_leaves_nobody_waiting_for_its_client() -> None:
    def gone(asked: Asked) -> None:
        raise StateError("the orchestrator is not there")

    async def receive() -> Any:
        await asyncio.Event().wait()

    question = Question("llm", (Message("user", "Hi"),), 9, 0.0, 1.0, 0, ())

    async def ask() -> set[Any]:
        with pytest.raises(StateError):
            Hearing(FakeRobot(gone), question, receive)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(ask()) == set()
