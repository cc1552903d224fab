"""The orchestrator's services and its actions; slow work is done beside the control thread."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode

from aegis_ros.action import ProfileModel
from aegis_ros.audit import asked_by
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.msg import ModelTask
from aegis_ros.nodes.beside import Beside
from aegis_ros.nodes.callers import Callers
from aegis_ros.nodes.conversions import (
    fill_registration,
    rationale_to_message,
    task_status,
)
from aegis_ros.nodes.forecasting import fill_forecast
from aegis_ros.nodes.generating import Generating
from aegis_ros.nodes.loggable import loggable
from aegis_ros.nodes.task_message import task_from_message
from aegis_ros.orchestrator import (
    AdmissionRequest,
    Orchestrator,
    ProfileOutcome,
    Registration,
    Ticket,
)
from aegis_ros.orchestrator.admissions import MOST_WAITING
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rationale, Reason, ResultCode, result_code
from aegis_ros.rationale.printable import printable
from aegis_ros.rationale.rejection import Invalid, NotConfigured, Unforeseen
from aegis_ros.rationale.wording import sentence
from aegis_ros.spec import Accept, TaskSpec
from aegis_ros.srv import (
    EvaluateModel,
    EvaluateRequests,
    ListModels,
    RegisterModel,
    SetTaskEnabled,
    UnregisterModel,
)

__all__ = ["Services"]


_THREADS = MOST_WAITING + 8  # all that wait for their turn, and some that are refused a place
_Answer = TypeVar("_Answer")
_PROFILE = "profile_model/_action/send_goal"  # the service that takes goals


class Services:
    """Serves requests; what takes long waits for its turn, and nothing else waits for it.

    Args:
        node: node to serve with.
        executor: executor that spins the node's services.
        orchestrator: returns the orchestrator, ``None`` before the node is configured.
    """

    def __init__(
        self,
        node: LifecycleNode,
        executor: Executor,
        orchestrator: Callable[[], Orchestrator | None],
    ) -> None:
        """Create services and action."""
        self._node = node
        self._orchestrator = orchestrator
        self._callers = Callers(node, lambda: _accept(orchestrator()))
        self._queued = Beside(executor, _THREADS, "requests")
        self._quick = Beside(executor, 1, "quick requests")
        self._removals = Beside(executor, 1, "removals")  # wait for the disk
        self._tickets: dict[bytes, Ticket] = {}  # of goals of the action
        # A request that is awaited keeps its group; all that a node does by default shares one.
        group = ReentrantCallbackGroup()
        for kind, name, callback in (
            (RegisterModel, "register_model", self._register),
            (EvaluateModel, "evaluate_model", self._evaluate),
            (UnregisterModel, "unregister_model", self._unregister),
            (SetTaskEnabled, "set_task_enabled", self._set_enabled),
        ):
            node.create_service(kind, f"~/{name}", callback, callback_group=group)
        node.create_service(ListModels, "~/list_models", self._list)
        node.create_service(EvaluateRequests, "~/evaluate_requests", self._evaluate_requests)
        self._action = ActionServer(
            node,
            ProfileModel,
            "~/profile_model",
            self._profile,
            callback_group=group,
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            cancel_callback=self._cancel,
        )
        self._generating = Generating(node, executor, lambda: self._orchestrator(), self._callers)

    def close(self) -> None:
        """Take no more requests: they are answered as before the node is configured."""
        self._orchestrator = _nobody
        self._queued.close()
        self._quick.close()
        self._removals.close()
        self._generating.close()

    def destroy(self) -> None:
        """Destroy what the node does not know of; nothing may spin it any more."""
        self._action.destroy()
        self._generating.destroy()

    async def _register(
        self, request: RegisterModel.Request, response: RegisterModel.Response
    ) -> RegisterModel.Response:
        answer = await self._in_turn(
            "register_model",
            request.task,
            AdmissionRequest.REGISTER,
            lambda owner, spec, ticket: owner.register(spec, ticket),
        )
        if answer is None:
            return _not_configured(response)
        response.task_id = answer.task_id
        return fill_registration(response, answer)

    async def _evaluate(
        self, request: EvaluateModel.Request, response: EvaluateModel.Response
    ) -> EvaluateModel.Response:
        answer = await self._in_turn(
            "evaluate_model",
            request.task,
            AdmissionRequest.EVALUATE,
            lambda owner, spec, ticket: owner.evaluate(spec, list(request.without), ticket),
        )
        return _not_configured(response) if answer is None else fill_registration(response, answer)

    async def _unregister(
        self, request: UnregisterModel.Request, response: UnregisterModel.Response
    ) -> UnregisterModel.Response:
        return await self._by_name(
            "unregister_model",
            request.name,
            response,
            lambda owner: owner.unregister(request.name),
            beside=self._removals,
        )

    async def _set_enabled(
        self, request: SetTaskEnabled.Request, response: SetTaskEnabled.Response
    ) -> SetTaskEnabled.Response:
        return await self._by_name(
            "set_task_enabled",
            request.name,
            response,
            lambda owner: owner.set_enabled(request.name, request.enabled),
            beside=self._quick,
        )

    def _list(
        self, request: ListModels.Request, response: ListModels.Response
    ) -> ListModels.Response:
        owner = self._orchestrator()
        if owner is not None:
            response.tasks = [task_status(item) for item in owner.status().tasks]
        return response

    def _evaluate_requests(
        self, request: EvaluateRequests.Request, response: EvaluateRequests.Response
    ) -> EvaluateRequests.Response:
        owner = self._orchestrator()
        if owner is None:
            _explain_unconfigured(response)
            return response
        refused = self._refused(owner, "evaluate_requests", request.generator)
        if refused is not None:
            response.rationale = rationale_to_message(refused.rationale)
        else:
            fill_forecast(owner, request, response)
        return response

    async def _by_name(
        self,
        service: str,
        name: str,
        response: Any,
        ask: Callable[[Orchestrator], Registration],
        *,
        beside: Beside,
    ) -> Any:
        owner = self._orchestrator()
        if owner is None:
            return _not_configured(response)
        answer = self._refused(owner, service, name)
        if answer is None:
            answer = await beside(lambda: self._answer(owner, service, name, lambda: ask(owner)))
        response.success = answer.accepted
        response.result = int(answer.result)
        response.rationale = rationale_to_message(answer.rationale)
        return response

    async def _in_turn(
        self,
        service: str,
        message: ModelTask,
        kind: AdmissionRequest,
        ask: Callable[[Orchestrator, TaskSpec, Ticket | None], Registration],
    ) -> Registration | None:
        """Ask once it is the request's turn; its place is that of its arrival."""
        owner = self._orchestrator()
        if owner is None:
            return None
        refused = self._refused(owner, service, message.name)
        if refused is not None:
            return refused
        ticket = _enter(owner, message.name, kind)

        def answer() -> Registration:
            try:
                return ask(owner, task_from_message(message), ticket)
            finally:
                if ticket is not None:
                    owner.admissions.leave(ticket)

        return await self._queued(lambda: self._answer(owner, service, message.name, answer))

    def _refused(self, owner: Orchestrator, service: str, name: str) -> Registration | None:
        """Return the answer to a request that is not let in; ``None`` for one that is."""
        reason = self._callers.refusal(service, name)
        if reason is None:
            return None
        with asked_by(self._callers.describe(service)):
            rationale = owner.log.report(reason)
        return Registration(False, result_code(reason.rule), 0, rationale)

    def _answer(
        self, owner: Orchestrator, service: str, name: str, ask: Callable[[], Registration]
    ) -> Registration:
        """Answer with a reason that is also on record, whatever happens."""
        found = self._on_record(owner, service, name, ask)
        if isinstance(found, Rationale):
            return Registration(False, result_code(found.rule), 0, found)
        return found

    def _on_record(
        self, owner: Orchestrator, service: str, name: str, ask: Callable[[], _Answer]
    ) -> _Answer | Rationale:
        """Return what was asked for, or why not; who may have asked is on record beside it."""
        who = ""
        try:
            who = self._callers.describe(service)
            with asked_by(who):
                return ask()
        except ConfigError as error:
            reason: Reason = Invalid(name[:64], error.rule, str(error))
        except Exception as error:
            self._node.get_logger().error(loggable(traceback.format_exc()))
            reason = Unforeseen(name[:64], repr(error))
        with asked_by(who):
            return owner.log.report(reason)

    def _cancel(self, goal: Any) -> CancelResponse:
        ticket = self._tickets.get(bytes(goal.goal_id.uuid))
        try:
            if ticket is not None:
                ticket.stop.set()
        except Exception:  # rclpy would leave who cancels without an answer
            self._node.get_logger().error(loggable(traceback.format_exc()))
            return CancelResponse.REJECT
        return CancelResponse.ACCEPT

    async def _profile(self, goal: Any) -> ProfileModel.Result:
        result = ProfileModel.Result()
        owner = self._orchestrator()
        if owner is None:
            _explain_unconfigured(result)
            goal.abort()
            return result
        task = goal.request.task
        refused = self._refused(owner, _PROFILE, task.name)
        if refused is not None:
            result.rationale = rationale_to_message(refused.rationale)
            goal.abort()
            return result
        ticket = _enter(owner, task.name, AdmissionRequest.PROFILE)
        if ticket is not None:
            self._tickets[bytes(goal.goal_id.uuid)] = ticket

        def progress(done: int, total: int, worst_ns: int) -> bool:
            feedback = ProfileModel.Feedback(done=done, total=total, max_ms=worst_ns / 1e6)
            goal.publish_feedback(feedback)
            return True

        def measure() -> ProfileOutcome:
            runs = min(goal.request.runs, 1_000_000)
            return owner.profiler.profile(task_from_message(task), runs, progress, ticket)

        try:
            outcome = await self._queued(
                lambda: self._on_record(owner, _PROFILE, task.name, measure)
            )
        except Exception as error:  # the node ends
            result.rationale.sentence = printable(str(error) or repr(error))
            goal.abort()
            return result
        finally:
            if ticket is not None:
                owner.admissions.leave(ticket)
                del self._tickets[bytes(goal.goal_id.uuid)]
        if isinstance(outcome, Rationale):
            outcome = ProfileOutcome(False, outcome)
        result.success = outcome.success
        result.rationale = rationale_to_message(outcome.rationale)
        result.wcet_ms = outcome.wcet_ns / 1e6
        result.p50_ms = outcome.p50_ns / 1e6
        result.max_ms = outcome.max_ns / 1e6
        result.runs = outcome.runs
        if goal.is_cancel_requested:
            goal.canceled()
        elif outcome.success:
            goal.succeed()
        else:
            goal.abort()
        return result


def _nobody() -> None:
    """Stand in for an orchestrator that ends."""


def _accept(owner: Orchestrator | None) -> Accept:
    return Accept.ALL if owner is None else owner.spec.services.accept


def _enter(owner: Orchestrator, task: str, kind: AdmissionRequest) -> Ticket | None:
    """Return a place in the queue; ``None``, with an answer that says why, where there is none."""
    try:
        return owner.admissions.enter(task[:64], kind)
    except (AegisError, Refusal):
        return None


def _not_configured(response: Any) -> Any:
    response.result = int(ResultCode.NOT_POSSIBLE_NOW)
    _explain_unconfigured(response)
    return response


def _explain_unconfigured(response: Any) -> None:
    reason = NotConfigured("")
    response.rationale.decision = str(reason.decision)
    response.rationale.rule = str(reason.rule)
    response.rationale.sentence = sentence(reason)
