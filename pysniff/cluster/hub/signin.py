"""A browser's cookie: proof that it once knew the token, without the token in it.

The key lives as long as the process, so a restart signs everybody out.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from aiohttp import web

AGE = 7 * 24 * 3600  # seconds


class Cookies:
    """Makes and checks the cookies of one hub. `port` tells hubs on one machine apart: cookies know no ports."""

    def __init__(self, port: int, *, secure: bool, clock: Callable[[], float]) -> None:
        # RFC 6265bis §4.1.3.2: what begins with __Host- no other host and no plain HTTP can have set.
        self.name = f"__Host-pysniff-{port}" if secure else f"pysniff-{port}"
        self._secure = secure
        self._key = secrets.token_bytes(32)
        self._clock = clock

    def give(self, response: web.StreamResponse) -> None:
        expiry = str(int(self._clock()) + AGE)
        response.set_cookie(
            self.name,
            f"{expiry}.{self._proof(expiry)}",
            max_age=AGE,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )

    def holds(self, request: web.Request) -> bool:
        expiry, _, proof = request.cookies.get(self.name, "").partition(".")
        if not hmac.compare_digest(self._proof(expiry).encode(), proof.encode("utf-8", "surrogateescape")):
            return False
        return int(expiry) > self._clock()  # proven to be ours, so it is a number

    def _proof(self, expiry: str) -> str:
        return hmac.digest(self._key, b"pysniff cookie " + expiry.encode("utf-8", "surrogateescape"), "sha256").hex()
