"""Renders the chat template of a model: a program out of a file, so it runs in a child process."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from aegis_ros.errors import ModelError

__all__ = ["rendered"]

_MOST_CHARACTERS = 4 * 1024 * 1024
_WHERE = "tokenizer.chat_template"


def rendered(
    template: str, messages: Sequence[Mapping[str, Any]], tokens: Mapping[str, str]
) -> str:
    """Return messages as the model was trained to read them, up to where its answer begins.

    Args:
        template: in Jinja, as models are published with.
        messages: each with ``role`` and ``content``: a text, or a list of what it consists of.
        tokens: further values, the texts of ``bos_token`` and ``eos_token``.

    Raises:
        ModelError: the template fails, or its text has no end.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _as_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    parts: list[str] = []
    room = _MOST_CHARACTERS
    try:
        made = environment.from_string(template)
        for part in made.generate(messages=messages, add_generation_prompt=True, **tokens):
            room -= len(part)
            if room < 0:
                raise ModelError(
                    "the chat template makes a text without end",
                    where=_WHERE,
                    expected=f"at most {_MOST_CHARACTERS:,} characters",
                )
            parts.append(part)
    except (ModelError, MemoryError):
        raise
    except TemplateError as error:
        raise ModelError(
            f"the chat template cannot be rendered ({str(error)[:200]})", where=_WHERE
        ) from error
    except Exception as error:  # a template calls what it likes with what it likes
        raise ModelError(
            f"the chat template fails ({type(error).__name__}: {str(error)[:200]})", where=_WHERE
        ) from error
    return "".join(parts)


def _as_json(value: Any, indent: int | None = None) -> str:
    """Return JSON without the escapes for web pages that Jinja's own filter writes."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: object) -> NoReturn:
    raise ModelError(f"the chat template refuses the messages ({str(message)[:200]})", where=_WHERE)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)
