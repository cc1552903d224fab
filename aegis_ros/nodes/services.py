"""The orchestrator's services and its action; slow work is done beside the control thread."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future

from aegis_ros.action import ProfileModel
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.msg import ModelTask
from aegis_ros.nodes.conversions import (
    fill_registration,
    rationale_to_message,
    task_status,
)
from aegis_ros.nodes.task_message import task_from_message
from aegis_ros.orchestrator import Orchestrator, ProfileOutcome, Registration
from aegis_ros.rationale import Reason, ResultCode, result_code
from aegis_ros.rationale.rejection import Invalid, NotConfigured, Unforeseen
from aegis_ros.rationale.wording import sentence
from aegis_ros.srv import (
    EvaluateModel,
    ListModels,
    RegisterModel,
    SetTaskEnabled,
    UnregisterModel,
)

__all__ = ["Services"]

_Answer = TypeVar("_Answer")


class Services:
    """Serves requests one after the other on a worker thread.

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
        self._executor = executor
        self._orchestrator = orchestrator
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="requests")
        node.create_service(RegisterModel, "~/register_model", self._register)
        node.create_service(EvaluateModel, "~/evaluate_model", self._evaluate)
        node.create_service(UnregisterModel, "~/unregister_model", self._unregister)
        node.create_service(SetTaskEnabled, "~/set_task_enabled", self._set_enabled)
        node.create_service(ListModels, "~/list_models", self._list)
        self._action = ActionServer(
            node,
            ProfileModel,
            "~/profile_model",
            self._profile,
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def close(self) -> None:
        """Take no more requests."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._action.destroy()

    async def _beside(self, function: Callable[[], _Answer]) -> _Answer:
        """Run ``function`` on the worker thread; the control thread serves others meanwhile."""
        future: Any = Future(executor=self._executor)
        # Without a callback nothing would wake the executor when the result is there.
        future.add_done_callback(lambda done: None)

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # handed to whoever awaits
                future.set_exception(error)

        self._worker.submit(run)
        answer: _Answer = await future
        return answer

    async def _register(
        self, request: RegisterModel.Request, response: RegisterModel.Response
    ) -> RegisterModel.Response:
        answer = await self._beside(
            lambda: self._with_task(request.task, lambda owner, spec: owner.register(spec))
        )
        if answer is None:
            return _not_configured(response)
        response.task_id = answer.task_id
        return fill_registration(response, answer)

    async def _evaluate(
        self, request: EvaluateModel.Request, response: EvaluateModel.Response
    ) -> EvaluateModel.Response:
        answer = await self._beside(
            lambda: self._with_task(
                request.task, lambda owner, spec: owner.evaluate(spec, list(request.without))
            )
        )
        return _not_configured(response) if answer is None else fill_registration(response, answer)

    async def _unregister(
        self, request: UnregisterModel.Request, response: UnregisterModel.Response
    ) -> UnregisterModel.Response:
        return await self._by_name(
            request.name, response, lambda owner: owner.unregister(request.name)
        )

    async def _set_enabled(
        self, request: SetTaskEnabled.Request, response: SetTaskEnabled.Response
    ) -> SetTaskEnabled.Response:
        return await self._by_name(
            request.name,
            response,
            lambda owner: owner.set_enabled(request.name, request.enabled),
        )

    def _list(
        self, request: ListModels.Request, response: ListModels.Response
    ) -> ListModels.Response:
        owner = self._orchestrator()
        if owner is not None:
            response.tasks = [task_status(item) for item in owner.status().tasks]
        return response

    async def _by_name(
        self, name: str, response: Any, ask: Callable[[Orchestrator], Registration]
    ) -> Any:
        owner = self._orchestrator()
        if owner is None:
            return _not_configured(response)
        answer = await self._beside(lambda: self._answer(owner, name, lambda: ask(owner)))
        response.success = answer.accepted
        response.result = int(answer.result)
        response.rationale = rationale_to_message(answer.rationale)
        return response

    def _with_task(
        self, message: ModelTask, ask: Callable[[Orchestrator, Any], Registration]
    ) -> Registration | None:
        owner = self._orchestrator()
        if owner is None:
            return None
        return self._answer(owner, message.name, lambda: ask(owner, task_from_message(message)))

    def _answer(
        self, owner: Orchestrator, name: str, ask: Callable[[], Registration]
    ) -> Registration:
        """Answer whatever happens: an exception would end the thread all services share."""
        try:
            return ask()
        except ConfigError as error:
            reason: Reason = Invalid(name[:64], error.rule, str(error))
        except Exception as error:
            self._node.get_logger().error(traceback.format_exc())
            reason = Unforeseen(name[:64], repr(error))
        return Registration(False, result_code(reason.rule), 0, owner.log.report(reason))

    async def _profile(self, goal: Any) -> ProfileModel.Result:
        result = ProfileModel.Result()
        owner = self._orchestrator()
        if owner is None:
            _explain_unconfigured(result)
            goal.abort()
            return result

        def progress(done: int, total: int, worst_ns: int) -> bool:
            feedback = ProfileModel.Feedback(done=done, total=total, max_ms=worst_ns / 1e6)
            goal.publish_feedback(feedback)
            return not goal.is_cancel_requested

        def measure() -> ProfileOutcome:
            spec = task_from_message(goal.request.task)
            return owner.profiler.profile(spec, min(goal.request.runs, 1_000_000), progress)

        try:
            outcome = await self._beside(measure)
        except Exception as error:
            if not isinstance(error, AegisError):
                self._node.get_logger().error(traceback.format_exc())
            result.rationale.sentence = str(error) or repr(error)
            goal.abort()
            return result
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


def _not_configured(response: Any) -> Any:
    response.result = int(ResultCode.NOT_POSSIBLE_NOW)
    _explain_unconfigured(response)
    return response


def _explain_unconfigured(response: Any) -> None:
    reason = NotConfigured("")
    response.rationale.decision = str(reason.decision)
    response.rationale.rule = str(reason.rule)
    response.rationale.sentence = sentence(reason)
