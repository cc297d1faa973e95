"""libcurl of today: Debian's curl 7.88 asks only once over a connection that it knows to be HTTP/2."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import pycurl

from recorded.clients import PATIENCE
from recorded.said import Said, digest


def libcurl(port: int, *paths: str, fields: Sequence[str] = (), body: bytes | None = None) -> list[Said]:
    """One after the other over one connection with prior knowledge; what it says of each."""
    client = pycurl.Curl()
    client.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
    client.setopt(pycurl.HTTPHEADER, list(fields))
    client.setopt(pycurl.NOPROXY, "*")
    client.setopt(pycurl.TIMEOUT, PATIENCE)
    if body is not None:
        client.setopt(pycurl.POSTFIELDS, body)
    account = []
    for path in paths:
        content = BytesIO()
        client.setopt(pycurl.WRITEFUNCTION, content.write)
        client.setopt(pycurl.URL, f"http://127.0.0.1:{port}{path}")
        client.perform()
        line = Said(client.getinfo(pycurl.LOCAL_PORT), "GET" if body is None else "POST", path)
        line.status, line.request_size = client.getinfo(pycurl.RESPONSE_CODE), len(body or b"")
        line.size, line.sha256 = len(content.getvalue()), digest(content.getvalue())
        account.append(line)
    client.close()
    return account
