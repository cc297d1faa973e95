"""Asks a hub as programs do: entries over its WebSocket, whole ones and packets over HTTP. docs/api.md has both.

What a hub says is checked as what anybody says: nothing raises but what stands here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

import orjson
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, TraceConfig, WSMsgType
from aiohttp.client_exceptions import ClientConnectorCertificateError, WSServerHandshakeError

from pysniff.cluster.client_messages import TOKEN_HINT, Said, refusal, said_in
from pysniff.cluster.unreached import why_unreached
from pysniff.errors import FileError, OptionError, ReadError
from pysniff.limits import KIB, MIB

MESSAGE = 8 * MIB  # of what a hub says at a time; it says about 256 KiB
ENTRY = 64 * MIB  # of one whole entry
PROBLEM = 64 * KIB  # of what a hub says about a request that it refuses
_PIECE = 256 * KIB
_CONNECT = 10.0  # seconds
_AGAIN = 20  # times that a request is put when the hub says it is too early


class HubClient:
    """`async with HubClient(url, token, tls) as hub`; `tls` None: what the system trusts."""

    def __init__(self, url: str, token: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.url = checked_url(url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._tls: ssl.SSLContext | bool = True if tls is None else tls
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = ClientTimeout(total=None, sock_connect=_CONNECT)
        connector = TCPConnector(ssl=self._tls)
        # ws_connect() knows no allow_redirects: nothing but the hub that was named is asked.
        traces = TraceConfig()
        traces.on_request_redirect.append(_moved)
        self._session = ClientSession(
            connector=connector, headers=self._headers, timeout=timeout, trust_env=False, trace_configs=[traces]
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, question: Mapping[str, object]) -> AsyncGenerator[Said, None]:
        """What the hub says to a question until it is answered.

        Raises FileError where no hub is reached, PrivilegeError without the right token, OptionError and FilterError
        for a question that is none, ReadError where the hub goes away or says what nobody understands.
        """
        assert self._session is not None
        try:
            socket = await self._session.ws_connect(
                f"{self.url}/api/entries", max_msg_size=MESSAGE, heartbeat=20.0, compress=0
            )
        except WSServerHandshakeError as error:
            raise refusal(error.status, {}, self.url) from None
        except (ClientError, OSError, TimeoutError) as error:
            raise self._unreached(error) from None
        async with socket:
            try:
                await socket.send_str(orjson.dumps(question).decode())
                async for message in socket:
                    if message.type is not WSMsgType.BINARY:
                        raise ReadError(f"{self.url}: what the hub says is no message")
                    said = said_in(message.data, self.url)
                    if said is None:
                        return
                    if said != []:
                        yield said
            except (ClientError, OSError) as error:
                raise ReadError(f"{self.url}: the connection broke: {error}") from None
        raise ReadError(f"{self.url}: the hub closed the connection", hint="ask again once it is back")

    async def entry(self, id: str, body_limit: int) -> dict[str, object]:
        """A whole entry; raise NotFoundError where it is gone, and what ask() raises."""
        params = {"body_limit": str(body_limit)}
        async with _Got(self, f"/api/entries/{quote(id, safe='')}", params) as response:
            return _json(await _bounded(response, ENTRY), self.url)

    async def download(self, path: str, params: Mapping[str, str], write: Callable[[bytes], None]) -> None:
        """Hand on what a path gives, in pieces; raise what entry() raises."""
        async with _Got(self, path, params) as response:
            try:
                async for piece in response.content.iter_chunked(_PIECE):
                    write(piece)
            except (ClientError, TimeoutError) as error:
                raise ReadError(f"{self.url}: the answer broke off: {error}") from None

    async def get(self, path: str, params: Mapping[str, str]) -> ClientResponse:
        """An answer with status 200, for whoever closes it."""
        assert self._session is not None
        for _ in range(_AGAIN):
            try:
                response = await self._session.get(self.url + path, params=params, allow_redirects=False)
            except (ClientError, OSError, TimeoutError) as error:
                raise self._unreached(error) from None
            if response.status == 200:
                return response
            try:
                refused = refusal(response.status, await _problem(response), self.url)
            finally:
                response.close()
            if response.status not in (429, 503):
                raise refused
            wait = response.headers.get("Retry-After", "")
            await asyncio.sleep(min(float(wait), 10.0) if wait.isascii() and wait.isdigit() else 1.0)
        raise refused

    def _unreached(self, error: Exception) -> FileError:
        distrusted = isinstance(error, ClientConnectorCertificateError)
        hint = "give its certificate's CA with --tls-ca FILE" if distrusted else "is `pysniff hub` running there?"
        return FileError(f"{self.url}: no hub is reached: {why_unreached(error)}", hint=hint)


class _Got:
    """`async with` a response."""

    def __init__(self, hub: HubClient, path: str, params: Mapping[str, str]) -> None:
        self._asked = hub, path, params
        self._response: ClientResponse | None = None

    async def __aenter__(self) -> ClientResponse:
        hub, path, params = self._asked
        self._response = await hub.get(path, params)
        return self._response

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()


async def _moved(*_: object) -> None:
    raise ClientError("it sends its clients elsewhere")


def checked_url(url: str) -> str:
    """Scheme, host and port; raise OptionError for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise OptionError(f"{url!r} is no address of a hub", hint="give http://127.0.0.1:8898") from None
    if "token=" in parts.query or parts.username or parts.password:
        # On a command line it stands in the list of processes and in the shell's history.
        raise OptionError("a token in a URL is seen by others", hint=TOKEN_HINT)
    if parts.path.strip("/") or parts.query or parts.fragment or not parts.hostname:
        raise OptionError(f"{url!r} is no address of a hub", hint="give http://127.0.0.1:8898")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme.lower()}://{host}" + ("" if port is None else f":{port}")


async def _problem(response: ClientResponse) -> Mapping[str, object]:
    """RFC 9457, as far as it is one."""
    try:
        found = orjson.loads(await response.content.read(PROBLEM))
    except (ValueError, ClientError, TimeoutError):
        return {}
    return found if isinstance(found, dict) else {}


async def _bounded(response: ClientResponse, most: int) -> bytes:
    pieces, size = [], 0
    try:
        async for piece in response.content.iter_chunked(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise ReadError(f"an answer of more than {most // MIB} MiB")
    except (ClientError, TimeoutError) as error:
        raise ReadError(f"the answer broke off: {error}") from None
    return b"".join(pieces)


def _json(data: bytes, url: str) -> dict[str, object]:
    try:
        found = orjson.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ReadError(f"{url}: an entry that is no JSON")
    return found
