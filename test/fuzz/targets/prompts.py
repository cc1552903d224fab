"""Prompts by topic: the bytes of a message, as the middleware hands them over, and their line.

The first byte of an input chooses how many of it come, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.msg import GeneratorAnswer
from rclpy.serialization import serialize_message
from std_msgs.msg import String

from aegis_ros.errors import InputError
from aegis_ros.nodes.prompt_line import Prompt, PromptLine
from aegis_ros.nodes.prompt_topic import read_prompt
from aegis_ros.rationale import Reason
from aegis_ros.rationale.wording import sentence
from aegis_ros.spec import PromptsSpec, WhenFull
from test.fuzz.mutation import Mutator
from test.fuzz.target import Limits, Target, Try, answered

__all__ = ["TARGET"]

_MOST_BYTES = 4_096
_MOST_SAID = 64 * 1024  # characters of a reason
_WORDS = (
    *(b"\0\0\0\0", b"\0\1\0\0", b"\0\2\0\0", b"\0\3\0\0", b"\0", b" ", b"\n\n", b"\x1b[2J"),
    *(b"\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xef\xbb\xbf", "ä€𝄞".encode()),
    *(count.to_bytes(4, "little") for count in (0, 1, 2, _MOST_BYTES, _MOST_BYTES + 2, 2**32 - 1)),
)


def _seeds() -> Sequence[bytes]:
    texts = ("a person, a dog", "ä€𝄞", "x" * _MOST_BYTES, "", " \n\t", "{{ 7 * 7 }} <|im_end|>")
    said = [b"\1" + serialize_message(String(data=text)) for text in texts]
    return [*said, b"\5\0\0\0\0\0\0\0\2a\0"]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    reported: list[Reason] = []
    lines = []
    for when_full in WhenFull:
        spec = PromptsSpec("/ask", "/said", queue=2, when_full=when_full)
        lines.append(PromptLine("llm", spec, reported.append))
        lines[-1].open()

    def put(text: str, times: int) -> None:
        """Have a prompt come some times, and answer all that are asked."""
        for line in lines:
            before = line.counts()
            for _ in range(times):
                line.put(Prompt(text, 1, 1))
            for _ in range(line.counts().waiting):
                prompt = line.take()
                assert prompt is not None and prompt.text == text
                serialize_message(GeneratorAnswer(prompt=prompt.text[:256], text=prompt.text))
                line.answered()
            now = line.counts()
            asked = now.asked - before.asked
            lost = now.replaced + now.left_out - before.replaced - before.left_out
            assert (asked + lost, now.waiting) == (times, 0)

    def work(data: bytes) -> bool:
        reported.clear()
        times, raw = data[:1], data[1:]

        def read() -> None:
            text = read_prompt(raw, _MOST_BYTES)
            assert 0 < len(text.encode()) <= _MOST_BYTES and "\0" not in text
            put(text, 1 + (times[0] if times else 0) % 8)

        taken = answered(read, InputError)
        if not taken:
            for line in lines:
                line.refuse("it is none")
        assert all(0 < len(sentence(each)) <= _MOST_SAID for each in reported)
        return taken

    yield work
    for line in lines:
        line.close()


TARGET = Target(
    name="prompts",
    title="prompts by topic",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=8_192),
    opened=_opened,
    limits=Limits(seconds=0.05),
    brief=300,
)
