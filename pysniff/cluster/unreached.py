"""Why a connection did not come about, in the system's words: those of asyncio and aiohttp say addresses again."""

from __future__ import annotations

import os
import ssl

from aiohttp.client_exceptions import ClientConnectorError


def why_unreached(error: BaseException) -> str:
    """`Connection refused`; never empty."""
    cause = error.os_error if isinstance(error, ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ssl.SSLError):
        # Of a name that is not known the number is negative, and the text getaddrinfo()'s.
        return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror
    return str(cause) or type(cause).__name__
