"""The `chat` node: the chat API of OpenAI in front of the generators of one orchestrator."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage

from aegis_ros.action import Generate
from aegis_ros.chat import Answered, Question, Settings
from aegis_ros.errors import StateError
from aegis_ros.msg import ChatMessage, GeneratorStatus, OrchestratorStatus
from aegis_ros.nodes.answering import answer_always
from aegis_ros.nodes.asking import Asker, Asking, Said
from aegis_ros.nodes.command_line import take_ros_arguments
from aegis_ros.nodes.ending import run_and_leave
from aegis_ros.nodes.parameters import Declaration, Parameters
from aegis_ros.nodes.serving import FIXED, TARGET, serve, served_at, target_of, token_of

__all__ = ["ChatNode", "goal_of", "main"]

_MANY = QoSProfile(depth=1000)  # answers that come at once; ROS's own depth of ten would lose most
_LEAST_TOP_P = 1e-30  # as float32 it is not 0, which would mean 1
_MISSING = (
    "the chat node needs packages that are not installed ({name}); install them: "
    "pip install 'aegis_ros[chat]', or apt-get install python3-fastapi python3-uvicorn"
)
_VARIABLE = "AEGIS_CHAT_TOKEN"

_PARAMETERS = (
    TARGET,
    *served_at(
        8471,
        "File with the token that clients need, as their API key (16 characters or more, mode "
        f"600). Empty: that of {_VARIABLE}; without, only this machine is served.",
    ),
    Declaration(
        "requests",
        64,
        "Requests at a time, those included that wait for a generator; more are refused.",
        low=1,
        high=200,
        fixed=FIXED,
    ),
)


class ChatNode(Node):
    """Asks the generators of one orchestrator what programs ask over HTTP."""

    def __init__(self, **arguments: Any) -> None:
        """Declare parameters, and find the orchestrator.

        Raises:
            ConfigError: a parameter has a value that would not work.
        """
        super().__init__("chat", **arguments)
        given = Parameters(self, _PARAMETERS)
        self.target = target_of(self, given)
        self.settings = Settings(
            host=given["host"],
            port=given["port"],
            token=token_of(given, _VARIABLE),
            requests=given["requests"],
        )
        self._status: OrchestratorStatus | None = None
        self._asker = Asker(
            self,
            self.target,
            goal_service_qos_profile=_MANY,
            result_service_qos_profile=_MANY,
            cancel_service_qos_profile=_MANY,
        )
        self.create_subscription(OrchestratorStatus, f"{self.target}/status", self._on_status, 1)
        answer_always(self)

    def destroy_node(self) -> None:
        """Destroy the client first: rclpy does not know it as the node's."""
        self._asker.close()
        super().destroy_node()

    # -- what clients ask (called on the server's thread) ---------------------------------------

    def models(self) -> Sequence[str]:
        """Return the names of the generators that may be asked."""
        status = self._status
        if status is None or not self._asker.ready():
            raise self._absent()
        return [
            each.name for each in status.generators if each.state != GeneratorStatus.STATE_REFUSED
        ]

    def ask(self, question: Question, hear: Callable[[Answered], None]) -> Callable[[], None]:
        """Begin to have a question answered; return what ends the answer early."""
        asking = self._asker.asking(goal_of(question), lambda said: hear(_answered(said)))
        self._do(lambda: self._begin(asking))
        return lambda: self._do(asking.cancel)

    def _begin(self, asking: Asking) -> None:
        if self._asker.ready():
            self._asker.begin(asking)
        else:
            asking.refuse(str(self._absent()))

    def _do(self, call: Callable[[], None]) -> None:
        """Have the executor call: rclpy's client of an action is for one thread."""
        executor = self.executor
        if executor is not None:
            executor.create_task(call)

    # -- news of the orchestrator ---------------------------------------------------------------

    def _on_status(self, message: OrchestratorStatus) -> None:
        self._status = message

    def _absent(self) -> StateError:
        return StateError(
            "the orchestrator is not there",
            where=self.target,
            hint="Is it running, under this name (parameter target) and in this ROS_DOMAIN_ID?",
        )


def goal_of(question: Question) -> Generate.Goal:
    """Return what is asked, as a goal."""
    return Generate.Goal(
        generator=question.model,
        messages=[
            ChatMessage(role=each.role, content=each.content, with_image=each.with_image)
            for each in question.messages
        ],
        compressed_image=_image(question.image),
        max_tokens=question.max_tokens,
        temperature=question.temperature,
        top_p=max(question.top_p, _LEAST_TOP_P),
        seed=question.seed,
        stop=question.stop,
    )


def _image(data: bytes) -> CompressedImage:
    """Return an image as a message; what is no JPEG or PNG is refused before."""
    if not data:
        return CompressedImage()
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return CompressedImage(format=kind, data=array("B", data))


def _answered(said: Said) -> Answered:
    if isinstance(said, Generate.Feedback):
        return Answered(said.text)
    why = said.rationale
    return Answered(
        said.text,
        said.ended,
        said.prompt_tokens,
        said.tokens,
        why.kind,
        why.rule,
        why.sentence,
    )


def main(args: list[str] | None = None) -> int:
    """Serve until asked to end; return the exit code (1: it could not be served)."""
    take_ros_arguments(
        "chat", "Serves the chat API of OpenAI for an orchestrator.", _PARAMETERS, args
    )
    try:
        from aegis_ros.chat.server import Server
    except ModuleNotFoundError as error:
        print(_MISSING.format(name=error.name), file=sys.stderr)
        return 1
    return serve(
        ChatNode,
        lambda node: Server(node, node.settings),
        args,
        what=lambda node: f"chats with {node.target}",
        seen="ask with the token, which is sent with every request",
    )


if __name__ == "__main__":
    run_and_leave(main)
