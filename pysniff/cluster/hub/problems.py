"""Errors as RFC 9457 problem details; the one place that makes them.

A handler raises `Refused` or an exception of PySniff's; whatever else is raised is a bug, which clients see as a 500
without details.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from pysniff.errors import FilterError, NotFoundError, OptionError, PysniffError

MEDIA_TYPE = "application/problem+json"


class Refused(PysniffError):
    """A request that is not answered: `status`, `code` (a word for programs) and what to do about it."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str = "",
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> web.Response:
    """A problem document. `code` and `hint` are extension members, as are those in `more`."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if hint:
        body["hint"] = hint
    return web.Response(
        status=status,
        body=json.dumps({**body, **(more or {})}).encode(),
        content_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def described(error: PysniffError) -> web.Response:
    """The problem that one of our exceptions means to a client."""
    match error:
        case Refused():
            return problem(error.status, error.code, error.message, hint=error.hint, headers=error.headers)
        case FilterError():
            place = {"line": error.line, "column": error.column, "excerpt": error.excerpt}
            return problem(400, "filter", error.message, hint=error.hint, more=place)
        case OptionError():
            return problem(400, "option", error.message, hint=error.hint)
        case NotFoundError():
            return problem(404, "notfound", error.message, hint=error.hint)
        case _:
            return problem(503, "unavailable", error.message, hint=error.hint)


_CODES = {400: "request", 404: "notfound", 405: "method", 408: "timeout", 413: "size", 415: "mediatype"}


def translated(error: web.HTTPException) -> web.Response:
    """aiohttp's own refusals (no such path, method, too large a body) as problems."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    status = error.status
    return problem(
        status, _CODES.get(status, "request"), HTTPStatus(status).description or error.reason, headers=headers
    )
