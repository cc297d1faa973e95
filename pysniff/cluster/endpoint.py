"""HOST:PORT as people write it."""

from __future__ import annotations

import re

from pysniff.errors import OptionError

# RFC 3986 §3.2.2: an IPv6 address stands in brackets.
_ENDPOINT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[\w.-]*))(?::(?P<port>\d{1,5}))?", re.ASCII)


def endpoint(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Host and port; raise OptionError. `:8898` is every address of this machine. 0 is a port, for who listens."""
    found = _ENDPOINT.fullmatch(text.strip())
    port = int(found["port"]) if found and found["port"] else default_port
    if found is None or port is None or port > 65535 or not text.strip():
        raise OptionError(f"{text!r} is not HOST:PORT", hint="give 10.0.0.7:8897, node1:8897 or [fe80::1]:8897")
    return found["v6"] or found["host"] or "0.0.0.0", port


def written(host: str, port: int) -> str:
    """HOST:PORT."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
