"""The requests that an engine process is asked, one function each."""

from __future__ import annotations

from dataclasses import replace

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.engine.channel import Channel
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.conversation import Conversation
from aegis_ros.engine.messages import (
    Done,
    Load,
    Loaded,
    LoadingGenerator,
    OpenChannel,
    Request,
)
from aegis_ros.engine.slots import OUTPUT_SLOTS, OutputSlots
from aegis_ros.engine.speech import LoadGenerator
from aegis_ros.engine.types import LoadSpec
from aegis_ros.errors import EngineError
from aegis_ros.rationale import Rule

__all__ = ["send_channel", "send_generator", "send_if_running", "send_load", "without_texts"]


def send_channel(process: EngineProcess, channel: Channel) -> None:
    """Have a process map the slots of a stream.

    Raises:
        EngineError: it does not.
    """
    process.ask(OpenChannel(channel.index, channel.spec), Done, (channel.memory.fd,))


def send_load(process: EngineProcess, spec: LoadSpec) -> str:
    """Load a network into one process, return its note; nothing is left when that fails.

    Raises:
        EngineError: it is not loaded.
    """
    slots = OutputSlots(spec.compiled, OUTPUT_SLOTS)
    try:
        answer = process.ask(Load(spec, OUTPUT_SLOTS), Loaded, (slots.memory.fd,))
    except EngineError:
        slots.close()
        raise
    process.outputs[spec.task_id] = slots
    return answer.note


def send_generator(process: EngineProcess, spec: LoadGenerator, conversation: Conversation) -> str:
    """Load a language model into one process, return its note.

    Raises:
        EngineError: it is not loaded.
    """
    sent = LoadingGenerator(replace(spec, compiled=without_texts(spec.compiled)))
    answer = process.ask(sent, Loaded, (conversation.memory.fd,))
    process.generators.add(spec.task_id)
    return answer.note


def without_texts(compiled: CompiledGenerator) -> CompiledGenerator:
    """Return a model without what is long and of no use in an engine, such as its template."""
    facts = replace(compiled.facts, template="", begin_text="", end_text="")
    return replace(compiled, facts=facts)


def send_if_running(process: EngineProcess | None, request: Request) -> None:
    """Ask for something that an engine which is gone need not be asked for.

    Raises:
        EngineError: the engine runs and refuses.
    """
    if process is None:
        return
    try:
        process.ask(request, Done)
    except EngineError as error:
        if error.rule is not Rule.ENGINE_RESTART:
            raise
