"""A running engine with a small language model, and what a test wants to ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.engine import Asked, LoadGenerator, Spoken
from aegis_ros.network.generator.answering import Answer, Question, answered
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.sampling import Sampling
from test.engine.bench import Bench, Heard
from test.network.generator.compiled import SHAPES, cache_of, compiled, plan_of
from test.network.generator.models import CONTEXT

TASK = 7
GREEDY = Sampling()


class Talk(Bench):
    """One engine on ONNX Runtime whose one lane has loaded a language model.

    Attributes:
        model: the model, whose answers end with ``ends``, or with a whole ``context``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ends: tuple[int, ...] = (),
        slots: int = 4,
        context: int = CONTEXT,
    ) -> None:
        super().__init__(backend="onnxruntime")
        self.model = compiled(folder, ends=ends, context=context)
        self.slots = slots

    def __enter__(self) -> Talk:
        super().__enter__()
        self.load_model()
        return self

    def load_model(self, **fields: Any) -> str:
        model: CompiledGenerator = fields.get("compiled", self.model)
        spec = {
            "task_id": TASK,
            "name": "assistant",
            "compiled": model,
            "lane": 0,
            "plan": plan_of(model),
            "shapes": SHAPES,
            "cache": cache_of(model, self.slots),
        }
        return self.client.load_generator(LoadGenerator(**(spec | fields)))

    def ask(
        self,
        request: int,
        tokens: Sequence[int] = (1, 2, 3),
        answer: int = 8,
        *,
        slot: int = 0,
        sampling: Sampling = GREEDY,
    ) -> None:
        self.client.ask(TASK, Asked(request, slot, tokens, answer, sampling))

    def said(self, request: int) -> list[int]:
        """Return all tokens of a request so far; their times never go back."""
        spoken = [each for each in self.heard.spoken if each.request == request]
        times = [at for each in spoken for at in each.times_ns]
        tokens = [token for each in spoken for token in each.tokens]
        assert times == sorted(times) and len(times) == len(tokens)
        return tokens

    def endings(self, request: int) -> list[Ending]:
        """Return every end that was heard of a request."""
        found = (each for each in self.heard.spoken if each.request == request)
        return [each.ended for each in found if each.ended is not None]

    def until_ended(self, *requests: int) -> None:
        def ended(heard: Heard) -> bool:
            known = {each.request for each in heard.spoken if each.ended is not None}
            return known >= set(requests)

        self.wait(ended, f"the end of {requests}")

    def until_said(self, request: int, count: int = 1) -> None:
        self.wait(lambda _: len(self.said(request)) >= count, f"tokens of {request}")

    def wanted(
        self, tokens: Sequence[int], answer: int, sampling: Sampling = GREEDY
    ) -> tuple[list[int], Ending | None]:
        """Return what a decoder answers that is asked nothing else."""
        model = self.model
        decoder = Decoder(model.facts, model.paths, context=model.facts.context)
        pieces = [b""] * model.facts.vocabulary
        question = Question(tokens=tokens, sampling=sampling, most=answer)
        found = Answer(model.facts, pieces, question)
        for _ in answered(decoder, [found]):
            pass
        return found.tokens, found.ending


__all__ = ["GREEDY", "TASK", "Spoken", "Talk"]
