"""Plain text beside packets in pcapng: what a Custom Block holds, one chunk in each.

The enterprise number is the one that RFC 5612 reserves for examples, as PySniff has none of its own: others may use it
too, so what is ours begins with words of our own, and everything else is left alone.
"""

from __future__ import annotations

import struct

from pysniff.plain import PlainChunk

# RFC 5612; draft-ietf-opsawg-pcapng: a Custom Block that is not to be copied where packets are left out or changed.
ENTERPRISE = 32473
BLOCK_TYPE = 0x40000BAD

_BEGINNING = b"PySniff plain text"
_VERSION = 1
# time, offset, reader, length of data, flags, length of the key, length of the library's name.
_FIXED = struct.Struct(f"<{len(_BEGINNING)}sHQQIIBBB")
_FROM_START, _SENDER_KNOWN, _SENDER_IS_CLIENT = 1, 2, 4
_KEYS = (12, 36)
# A chunk is a piece of at most 16 KiB; a name, a word or two.
_DATA = 1 << 16
_LIBRARY = 64


def encode(chunk: PlainChunk) -> bytes:
    """What stands behind the enterprise number; ValueError for what cannot be a chunk."""
    library = chunk.library.encode()[:_LIBRARY]
    if len(chunk.key) not in _KEYS or len(chunk.data) > _DATA:
        raise ValueError(f"a chunk with a key of {len(chunk.key)} and data of {len(chunk.data)} bytes")
    flags = _FROM_START * chunk.watched_from_start
    if chunk.sender_is_client is not None:
        flags |= _SENDER_KNOWN | _SENDER_IS_CLIENT * chunk.sender_is_client
    lengths = len(chunk.data), flags, len(chunk.key), len(library)
    fixed = _FIXED.pack(_BEGINNING, _VERSION, chunk.time_ns, chunk.offset, chunk.reader & 0xFFFFFFFF, *lengths)
    return fixed + chunk.key + library + chunk.data


def decode(content: bytes) -> PlainChunk | None:
    """The chunk; None for what is another's, of a version to come, or damaged. Padding may follow it."""
    if len(content) < _FIXED.size:
        return None
    beginning, version, at, offset, reader, length, flags, key_length, name_length = _FIXED.unpack_from(content)
    end = _FIXED.size + key_length + name_length + length
    if beginning != _BEGINNING or version != _VERSION or key_length not in _KEYS or name_length > _LIBRARY:
        return None
    if length > _DATA or not end <= len(content) < end + 4:
        return None
    name = _FIXED.size + key_length
    data = name + name_length
    library = content[name:data].decode("utf-8", "replace")
    return PlainChunk(
        time_ns=at,
        key=content[_FIXED.size : name],
        offset=offset,
        data=content[data:end],
        watched_from_start=bool(flags & _FROM_START),
        sender_is_client=bool(flags & _SENDER_IS_CLIENT) if flags & _SENDER_KNOWN else None,
        reader=reader,
        library="".join(character if character.isprintable() else "." for character in library),
    )
