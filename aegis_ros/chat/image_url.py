"""Reads the images that programs send in their messages, and fetches none from elsewhere."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from aegis_ros.config.mistakes import Unfit

__all__ = ["MOST_BYTES", "image_in"]

MOST_BYTES = 10 * 1024 * 1024
"""Of one image, as it is sent."""
_URL = re.compile(r"data:image/(png|jpeg|jpg);base64,", re.IGNORECASE)
_BEGINNINGS = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
_EXPECTED = "data:image/png;base64,… or data:image/jpeg;base64,…"
_SHOWN = 60  # characters of a URL


def image_in(url: Any) -> Any:
    """Return the bytes of the JPEG or PNG that a URL holds; what is no text stays as it is.

    Whether it is a whole picture is seen by whoever decodes it.

    Raises:
        Unfit: the URL names what would have to be fetched, or holds no such image.
    """
    if not isinstance(url, str):
        return url
    shown = url[:_SHOWN]
    found = _URL.match(url)
    if found is None:
        fetched = "names an image elsewhere, and nothing is fetched"
        scheme = re.match(r"(?!data:)[a-z][a-z0-9+.-]*:", url, re.IGNORECASE)
        problem = fetched if scheme else "holds no PNG or JPEG in base64"
        raise Unfit(problem, value=shown, expected=_EXPECTED, hint="Send the image itself")
    if len(url) - found.end() > 4 * (MOST_BYTES // 3 + 1):
        raise Unfit(
            "is too long", value=shown, expected=f"an image of at most {MOST_BYTES:,} bytes"
        )
    try:
        data = base64.b64decode(url[found.end() :].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Unfit(f"is no base64 ({error})", value=shown, expected=_EXPECTED) from error
    kind = found[1].lower().replace("jpg", "jpeg")
    if not data.startswith(_BEGINNINGS[kind]):
        raise Unfit(
            f"holds no {kind.upper()}", value=shown, expected=f"a {kind.upper()} as it says"
        )
    return data
