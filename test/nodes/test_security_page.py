"""What docs/security.md says in numbers and names is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aegis_ros.chat import Settings as ChatSettings
from aegis_ros.dashboard import Settings as PageSettings
from aegis_ros.network import compiled_code, graph, locate
from aegis_ros.network.generator import preparing, prompt
from aegis_ros.nodes import intake, prompt_topic
from aegis_ros.sandbox import children, containment, scratch
from aegis_ros.security import Names, enclaves
from aegis_ros.spec import Accept, OrchestratorSpec

_TEXT = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text()
_PAGE = " ".join(_TEXT.split())
_MIB, _GIB = 2**20, 2**30
_WORDS = {1: "a", 4: "four", 10: "ten"}


def _word(number: float) -> str:
    return _WORDS[round(number)]


@pytest.mark.parametrize(
    "said",
    [
        f"messages of {intake._LARGE_BYTES // 10**6} MB and more, are unpacked on a thread",
        f"or than {(locate.MOST_BYTES + 1) // _GIB} GiB, is refused before its weights are read",
        f"one of more than {locate._SLOW_BYTES // _MIB} MiB whose lengths and keys",
        f"One of more than {graph.MAX_OPERATORS:,} operators is refused",
        f"where it has more than {locate._SLOWER_BYTES // _MIB} MiB before it is hashed",
        f"({containment._OVERHEAD_BYTES // _GIB} GiB and {_word(containment._COPIES)} times the",
        f"may become float32, {containment._COPIES * preparing._GROWTH} times its file",
        f"looked at {_word(1 / children._WATCH_S)} times a second",
        f"At most {containment._MOST_FILES:,} files and pipes are open",
        f"({containment._DEVICE_OVERHEAD_BYTES // _GIB} GiB more than above)",
        ", ".join(f"`{path}`" for path in containment._SYSTEM),
        f"lies in folders `{scratch._PREFIX}…`",
        f"of which up to {_word(compiled_code._MOST_BYTES / _MIB)} MiB is read",
        f"Prompts are at most {prompt.MOST_BYTES // _MIB} MiB",
        f"is read at most {1 / prompt_topic._PAUSE_S:.0f} times a second",
        f"{ChatSettings().requests} are in hand at most",
    ],
)
def test_its_limits_are_those_of_the_code(said: str) -> None:
    assert said in _PAGE


def test_nothing_is_open_to_others_unless_it_is_asked_for() -> None:
    spec = OrchestratorSpec()
    assert not spec.models.allow_code and "It is false unless you set it" in _PAGE
    assert not spec.models.require_sha256 and "`models: {require_sha256: true}` refuses" in _PAGE
    assert spec.services.accept is Accept.ALL and "Without the key, all are answered" in _PAGE
    for settings in (PageSettings(), ChatSettings()):
        assert settings.loopback and not settings.token


def test_its_enclaves_are_those_of_the_policy() -> None:
    listed = re.findall(r"^\| `(/aegis/\w+)` \|", _TEXT, re.MULTILINE)
    assert listed == [each.path for each in enclaves(OrchestratorSpec(), Names("orchestrator"))]


def test_the_body_of_a_request_to_the_chat_api_is_as_long_as_it_says() -> None:
    app = pytest.importorskip("aegis_ros.chat.app", reason="the extra `chat` is not installed")
    assert f"A request has at most {app._MOST_BODY // _MIB} MiB" in _PAGE
