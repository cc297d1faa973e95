"""Puts secrets into a pcapng file in front of its packets, so that any reader decrypts them without being told how.

Wireshark reads once and looks for a secret when the handshake passes (4.0: a block that stands behind the ServerHello
comes too late, also with two passes). Programs log secrets after that, so the block is inserted when the file is done.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
from pathlib import Path
from tempfile import NamedTemporaryFile

from pysniff.errors import WriteError

_SECTION, _SECRETS, _TLS_KEY_LOG = 0x0A0D0D0A, 10, 0x544C534B
_LITTLE_ENDIAN = b"\x4d\x3c\x2b\x1a"
_PIECE = 1 << 20


def embed(path: str, key_log: bytes) -> None:
    """Insert a Decryption Secrets Block behind the head of a pcapng file of ours, which its owner alone can read then.

    The file is exchanged for one that has it: until then, and where that fails, it stays as it was. Raises WriteError.
    """
    try:
        _insert(Path(path), _secrets_block(key_log))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WriteError(f"{path}: its secrets cannot be written: {reason}", hint="its packets are there") from None


def why_not_embeddable(path: str) -> str:
    """Why secrets cannot be put into what will be written there; "" where they can."""
    try:
        regular = path != "-" and stat.S_ISREG(Path(path).stat().st_mode)
    except (OSError, ValueError):  # it is yet to be made
        regular = True
    if not regular:
        return "secrets stand before the packets, and are known after them: that takes a file"
    return "a .pcap file has no place for secrets" if path.lower().endswith(".pcap") else ""


def _insert(path: Path, block: bytes) -> None:
    with path.open("rb") as source:
        kind, size, order = struct.unpack("<II4s", source.read(12))
        if kind != _SECTION or order != _LITTLE_ENDIAN or size < 28:
            raise ValueError("it is no pcapng file of this program")
        source.seek(0)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as target:  # mode 0600
            try:
                target.write(source.read(size) + block)
                shutil.copyfileobj(source, target, _PIECE)
                target.flush()
                if os.geteuid() == 0:
                    owner = os.fstat(source.fileno())
                    os.fchown(target.fileno(), owner.st_uid, owner.st_gid)
                Path(target.name).replace(path)
            except BaseException:
                Path(target.name).unlink(missing_ok=True)
                raise


def _secrets_block(key_log: bytes) -> bytes:
    body = struct.pack("<II", _TLS_KEY_LOG, len(key_log)) + key_log + bytes(-len(key_log) & 3)
    total = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", _SECRETS) + total + body + total
