"""JSON in requests and answers."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping

import orjson
from aiohttp import web

from pysniff.cluster.hub.problems import Refused

MERGE_PATCH = "application/merge-patch+json"
_TYPES = ("application/json", MERGE_PATCH)


async def json_body(request: web.Request, seconds: float) -> object:
    """The JSON of a body that is here within `seconds`; raise Refused for another.

    Its size is bounded by the application, its depth by orjson.
    """
    if request.content_type not in _TYPES:
        raise Refused(415, "mediatype", f"the body must be {' or '.join(_TYPES)}", hint="set Content-Type")
    try:
        async with asyncio.timeout(seconds):
            body = await request.read()
    except TimeoutError:
        raise Refused(408, "timeout", f"the body was not complete within {seconds:g} s") from None
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "json", f"the body is not JSON: {error}") from None
    return value


def answer(value: Mapping[str, object], status: int = 200) -> web.Response:
    """`value` as JSON; what workers said may have bytes in it, which become base64."""
    body = orjson.dumps(value, default=_plain)
    return web.Response(status=status, body=body, content_type="application/json")


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(type(value).__name__)
