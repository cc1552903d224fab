"""Chat templates: programs out of files."""

from __future__ import annotations

import pytest

pytest.importorskip("jinja2", reason="the extra `llm` is not installed")

from aegis_ros.errors import ModelError
from aegis_ros.network.generator.chat import rendered

_ENDLESS = "{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}"
_MESSAGES = [{"role": "system", "content": "Be <short>."}, {"role": "user", "content": "Hi"}]


def test_a_template_sees_messages_and_tokens() -> None:
    template = (
        "{{ bos_token }}{% for m in messages %}\n"
        "  {% if m.role == 'user' %}{{ m.content | tojson }}{% continue %}{% endif %}\n"
        "[{{ m['content'] }}]{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    assert rendered(template, _MESSAGES, {"bos_token": "^"}) == '^[Be <short>.]"Hi">'
    year = rendered("{{ strftime_now('%Y') }}", [], {})
    assert len(year) == 4 and year.isdigit()


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{% for %}", "cannot be rendered"),
        ("{{ raise_exception('No system prompt') }}", "refuses the messages (No system prompt)"),
        ("{{ nosuch.field }}", "cannot be rendered"),
        ("{{ 1 / 0 }}", "fails (ZeroDivisionError"),
        ("{{ messages.append(1) }}", "cannot be rendered"),
        ("{{ ''.__class__.__mro__ }}", "cannot be rendered"),
        ("{{ range(1000000000) | list }}", "fails (OverflowError"),
        (_ENDLESS, "without end"),
    ],
)
def test_a_template_that_does_not_work_or_does_more_than_text_is_refused(
    template: str, says: str
) -> None:
    with pytest.raises(ModelError) as told:
        rendered(template, _MESSAGES, {})
    assert told.value.where == "tokenizer.chat_template" and says in told.value.problem
