"""What a node, or a hub, is called: ids of entries begin with it (frames.Hello has its form)."""

from __future__ import annotations

import re
import socket

from pysniff.errors import OptionError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def machine() -> str:
    """The machine's name as it may be written here."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:128].lstrip("._-") or "node"


def check(name: str) -> str:
    """The name; raise OptionError for one that cannot stand in ids."""
    if _NAME.fullmatch(name) is None:
        hint = "letters, digits, dots, - and _, at most 128, a letter or digit first"
        raise OptionError(f"{name!r} is no name of a node", hint=hint)
    return name
