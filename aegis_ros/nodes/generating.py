"""The action that has generators answer; prompts are read beside the control thread."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.task import Future

from aegis_ros.action import Generate
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.network.generator.prompt import Message
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.nodes.beside import Beside
from aegis_ros.nodes.callers import Callers
from aegis_ros.nodes.conversions import rationale_to_message
from aegis_ros.nodes.loggable import loggable
from aegis_ros.nodes.pictures import attached, forget_attached, header_of
from aegis_ros.orchestrator import Answer, Conclusion, Conversation, Orchestrator
from aegis_ros.orchestrator.questions import read_question
from aegis_ros.orchestrator.request import WELL_ENDED, Question
from aegis_ros.orchestrator.shown import Picture, Shown
from aegis_ros.planning.generator_preparation import GeneratorCandidate
from aegis_ros.rationale import Reason, Rule
from aegis_ros.rationale.rejection import Invalid, NotConfigured, Unforeseen
from aegis_ros.rationale.wording import sentence

__all__ = ["Generating"]

_GOAL_SERVICE = "generate/_action/send_goal"
_READERS = 2  # prompts that are read at once, each in a child process
_RESULT_KEPT_S = 30  # for a client that asks late
_LOOK_S = 1.0
# Of a hundred requests that come at once, ROS's own depth of ten would lose most without a word.
_MANY = QoSProfile(depth=1000)


@dataclass(slots=True)
class _Goal:
    """A goal that is served.

    Attributes:
        clients: participants one of which has sent it.
        cancelled: whether it is to end.
        end: ends its request, once it is one.
        picture: what it is about, without its pixels; ``None`` for no image.
    """

    clients: frozenset[str]
    cancelled: bool = False
    end: Callable[[], None] | None = None
    picture: Picture | None = None

    def cancel(self) -> None:
        self.cancelled = True
        if self.end is not None:
            self.end()


class Generating:
    """Serves `~/generate`. A goal whose client is gone is cancelled, as far as that can be seen.

    ROS does not tell who sent a goal: it ends once all that had a client when it came are gone.

    Args:
        node: node to serve with.
        executor: executor that spins the node's services.
        orchestrator: returns the orchestrator, ``None`` before the node is configured.
        callers: knows who has a client.
    """

    def __init__(
        self,
        node: LifecycleNode,
        executor: Executor,
        orchestrator: Callable[[], Orchestrator | None],
        callers: Callers,
    ) -> None:
        """Create the action."""
        self._node = node
        self._executor = executor
        self._orchestrator = orchestrator
        self._callers = callers
        self._reading = Beside(executor, _READERS, "prompts")
        self._goals: dict[bytes, _Goal] = {}
        self._action = ActionServer(
            node,
            Generate,
            "~/generate",
            self._generate,
            callback_group=ReentrantCallbackGroup(),
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            cancel_callback=self._cancel,
            goal_service_qos_profile=_MANY,
            result_service_qos_profile=_MANY,
            cancel_service_qos_profile=_MANY,
            result_timeout=_RESULT_KEPT_S,
        )
        # Not the node's clock, which a simulation may stop.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(_LOOK_S, self._look, clock=steady)

    def close(self) -> None:
        """Read no more prompts."""
        self._reading.close()

    def destroy(self) -> None:
        """Destroy the action; nothing may spin the node any more."""
        self._action.destroy()

    def _cancel(self, goal: Any) -> CancelResponse:
        found = self._goals.get(bytes(goal.goal_id.uuid))
        try:
            if found is not None:
                found.cancel()
        except Exception:  # rclpy would leave who cancels without an answer
            self._node.get_logger().error(loggable(traceback.format_exc()))
            return CancelResponse.REJECT
        return CancelResponse.ACCEPT

    def _look(self) -> None:
        """Cancel goals whose clients are gone."""
        if not self._goals:
            return
        here = self._callers.participants(_GOAL_SERVICE)
        for goal in tuple(self._goals.values()):
            if goal.clients and not goal.clients & here and not goal.cancelled:
                goal.cancel()

    async def _generate(self, goal: Any) -> Generate.Result:
        key = bytes(goal.goal_id.uuid)
        mine = self._goals[key] = _Goal(self._callers.participants(_GOAL_SERVICE))
        owner = self._orchestrator()
        try:
            if owner is None:
                return _ended(goal, mine, None, NotConfigured(goal.request.generator[:64]))
            found = await self._answered(owner, goal, mine)
        except Exception as error:
            self._node.get_logger().error(loggable(traceback.format_exc()))
            found = Unforeseen(goal.request.generator[:64], repr(error))
        finally:
            del self._goals[key]
            _forget(goal.request)
        return _ended(goal, mine, owner, found)

    async def _answered(self, owner: Orchestrator, goal: Any, mine: _Goal) -> Answer | Reason:
        """Return the whole answer, or why there is none."""
        request = goal.request
        name = request.generator[:64]
        if not owner.active:
            return Invalid(name, Rule.STATE, "the node is not active; activate it first")
        found = owner.generators.find(request.generator)
        if isinstance(found, Reason):
            return found
        candidate, conversation = found
        full = conversation.enter()
        if full is not None:
            return full
        try:
            return await self._asked(
                goal, mine, candidate, conversation, shown=owner.generators.shown
            )
        except AegisError as error:
            return Invalid(candidate.spec.name, error.rule, str(error))

    async def _asked(
        self,
        goal: Any,
        mine: _Goal,
        candidate: GeneratorCandidate,
        conversation: Conversation,
        *,
        shown: Shown,
    ) -> Answer | Reason:
        """Read the prompt and have it answered.

        Raises:
            AegisError: the prompt, or how it is to be answered, is not valid.
        """
        request = goal.request
        try:
            sampling = Sampling(
                float(request.temperature), float(request.top_p) or 1.0, int(request.seed)
            )
            question, mine.picture = await self._reading(
                lambda: _read(request, candidate, sampling, shown)
            )
            if mine.cancelled:
                return Answer(0, ended=Conclusion.CANCELLED)
            done: Any = Future(executor=self._executor)
            # Without a callback nothing would wake the executor when the answer is there.
            done.add_done_callback(lambda future: None)
            number = conversation.ask(question, lambda answer: _hear(goal, done, answer))
        finally:
            conversation.leave()
        if isinstance(number, Reason):
            return number
        mine.end = lambda: conversation.cancel(number)
        if mine.cancelled:
            mine.end()
        answer: Answer = await done
        return answer


def _hear(goal: Any, done: Any, answer: Answer) -> None:
    if answer.ended is not None:
        done.set_result(answer)
    else:
        goal.publish_feedback(
            Generate.Feedback(
                text=answer.text, tokens=answer.tokens, tokens_per_s=answer.tokens_per_s
            )
        )


def _read(
    request: Any, candidate: GeneratorCandidate, sampling: Sampling, shown: Shown
) -> tuple[Question, Picture | None]:
    """Return what a goal asks, and what it is about, without its pixels.

    Raises:
        AegisError: the prompt or its image is not valid.
    """
    messages = _messages(request)
    picture = attached(request, candidate, shown)
    forget_attached(request)
    question = read_question(
        candidate,
        messages,
        system=candidate.spec.system,
        most=request.max_tokens,
        sampling=sampling,
        stops=tuple(request.stop),
        image=None if picture is None else picture.pixels,
        image_at=_with_image(request, picture),
    )
    return question, None if picture is None else picture.without_pixels()


def _with_image(request: Any, picture: Picture | None) -> int:
    """Return which message of a chat its image belongs to.

    Raises:
        ConfigError: several are said to have it, or there is none.
    """
    found = [number for number, each in enumerate(request.messages) if each.with_image]
    if not found:
        return -1
    if picture is None:
        raise ConfigError(
            "there is no image",
            where=f"messages[{found[0]}].with_image",
            expected="false, or an image that is attached or of a topic",
        )
    if len(found) > 1:
        raise ConfigError(
            "one image cannot belong to several messages",
            where=f"messages[{found[1]}].with_image",
            expected=f"false, as messages[{found[0]}] has it",
        )
    return found[0] - len(request.messages)


def _forget(request: Any) -> None:
    """Drop what a goal brought, which ROS keeps for as long as its result: megabytes in each."""
    request.prompt, request.messages, request.stop = "", [], []
    forget_attached(request)


def _messages(request: Any) -> list[Message]:
    """Return the chat of a request.

    Raises:
        ConfigError: it has both a prompt and messages.
    """
    if request.prompt and request.messages:
        raise ConfigError(
            "prompt and messages are both given", where="prompt", expected="one of them"
        )
    found = [Message(each.role, each.content) for each in request.messages]
    return found or [Message("user", request.prompt)]


def _ended(
    goal: Any, mine: _Goal, owner: Orchestrator | None, found: Answer | Reason
) -> Generate.Result:
    """Return the result of a goal, and end it."""
    answer = found
    if isinstance(answer, Reason):
        answer = Answer(0, ended=Conclusion.REFUSED, reason=answer)
    result = Generate.Result(
        success=answer.ended in WELL_ENDED,
        text=answer.text,
        ended=str(answer.ended),
        prompt_tokens=answer.prompt_tokens,
        tokens=answer.tokens,
        prompt_s=answer.prompt_ns / 1e9,
        answer_s=answer.answer_ns / 1e9,
    )
    if mine.picture is not None:
        result.image_header = header_of(mine.picture)
    if answer.reason is not None:
        if owner is not None:
            if not result.success:  # what shortens an answer was reported when it began
                owner.log.report_often(answer.reason)
            result.rationale = rationale_to_message(owner.log.make(answer.reason))
        else:
            result.rationale.sentence = sentence(answer.reason)
    if goal.is_cancel_requested:
        goal.canceled()
    elif result.success:
        goal.succeed()
    else:
        goal.abort()
    return result
