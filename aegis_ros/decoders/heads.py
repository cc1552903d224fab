"""Finds which output of a network is which head: as declared, by its name, or by its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aegis_ros.decoders.base import DecoderContext
from aegis_ros.errors import DecodeError

__all__ = ["named_heads"]


def named_heads(
    context: DecoderContext,
    words: Mapping[str, Sequence[str]],
    declared: Mapping[str, str],
    *,
    least: int,
    network: str,
    expected: str,
    order: Sequence[str] = (),
) -> dict[str, str]:
    """Return the output of each head; heads that may be missing can be left out.

    Args:
        context: what the decoder is made from.
        words: of each head, those that its output may be called by; in the usual order of outputs.
        declared: outputs by head, from the option ``heads``.
        least: number of outputs that the network must have.
        network: what it is called.
        expected: the heads, in words.
        order: in which heads take the outputs that are called so; that of ``words`` if not given.

    Raises:
        DecodeError: a head that is declared is none, or there are too few outputs.
    """
    unknown = [name for name in declared if name not in words]
    if unknown or len(context.outputs) < least:
        raise DecodeError(
            f"there is no head {unknown[0]!r}" if unknown else f"not the heads of {network}",
            where="output.options.heads" if unknown else "output.decoder",
            value=unknown or {item.name: list(item.shape) for item in context.outputs},
            expected=expected,
        )
    found: dict[str, str] = {}
    left = [item.name for item in context.outputs]
    for head in order or words:
        called = [name for name in left if any(word in name.lower() for word in words[head])]
        wanted = declared.get(head) or (called[0] if called else "")
        if wanted:
            found[head] = wanted
            left = [name for name in left if name != wanted]
    for head in words:
        if head not in found and left:
            found[head] = left.pop(0)
    return found
