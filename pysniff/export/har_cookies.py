"""Cookies as HAR has them: of Set-Cookie with the attributes that a browser shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from pysniff.dissectors.http import HttpRequest, HttpResponse

_NAMES = {"path": "path", "domain": "domain", "samesite": "sameSite"}
_LONGEST = 400 * 86_400  # seconds that a cookie lives at most in browsers (RFC 6265bis §5.5)


def request_cookies(request: HttpRequest) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in request.cookies]


def response_cookies(response: HttpResponse, now: datetime) -> list[dict[str, Any]]:
    """`now`: when it came, from which Max-Age counts."""
    if "set-cookie" not in response.index:
        return []
    return [_cookie(value, now) for name, value in response.headers if name.lower() == "set-cookie"]


def _cookie(field: str, now: datetime) -> dict[str, Any]:
    """One Set-Cookie (RFC 6265 §5.2)."""
    pair, *attributes = field.split(";")
    name, _, value = pair.partition("=")
    cookie: dict[str, Any] = {"name": name.strip(), "value": value.strip(), "httpOnly": False, "secure": False}
    expires: datetime | None = None
    lasts: datetime | None = None
    for attribute in attributes:
        key, _, said = attribute.partition("=")
        key, said = key.strip().lower(), said.strip()
        if key in _NAMES:
            cookie[_NAMES[key]] = said
        elif key == "httponly":
            cookie["httpOnly"] = True
        elif key == "secure":
            cookie["secure"] = True
        elif key == "expires":
            expires = _date(said) or expires
        elif key == "max-age":
            lasts = _after(said, now) or lasts
    end = lasts or expires  # RFC 6265 §5.3: Max-Age counts for more
    if end is not None:
        cookie["expires"] = end.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return cookie


def _date(text: str) -> datetime | None:
    """A date as servers write it, in UTC; None where nobody knows what it means."""
    try:
        read = parsedate_to_datetime(text[:64])
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _after(seconds: str, now: datetime) -> datetime | None:
    digits = seconds.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        return None
    try:
        return now + timedelta(seconds=0 if digits != seconds else min(int(digits), _LONGEST))
    except OverflowError:  # a capture may claim the year 9999
        return None
