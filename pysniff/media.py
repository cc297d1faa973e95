"""What a Content-Type says about bytes: their media type, whether they are text, and in which charset."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import NamedTuple


class Media(NamedTuple):
    """`mime_type`: lower case, without parameters. `charset`: of Python's codec, or "". `declared`: says it is text."""

    mime_type: str
    charset: str
    declared: bool
    opaque: bool


# An allowlist of families: codecs.lookup() remembers every unknown name for ever, and some codecs
# (idna, punycode, unicode_escape) are slow or not charsets at all.
_CHARSET = re.compile(
    r"utf-?8|utf-?16(?:-?[lb]e)?|utf-?32(?:-?[lb]e)?|us-ascii|ascii|latin-?1|iso-?8859-?\d{1,2}|windows-125\d|"
    r"cp\d{3,4}|gb2312|gbk|gb18030|big5(?:-hkscs)?|euc-(?:jp|kr)|shift[_-]jis|iso-2022-(?:jp|kr)|koi8-[ru]|"
    r"macintosh|tis-620"
)
_PARAMETER = re.compile(r';\s*charset\s*=\s*"?([^\s";,]{1,40})', re.IGNORECASE)
_TEXT = re.compile(
    r"text/.*|.*[+/](?:json|xml|yaml|x-yaml|javascript|ecmascript|x-javascript|json5|ndjson|x-ndjson|jsonl|"
    r"x-www-form-urlencoded|graphql|sql|toml|x-sh|problem\+json|xml-dtd|x-httpd-php|manifest\+json)"
)
_OPAQUE = re.compile(r"(?:image|audio|video|font)/.*|application/(?:grpc.*|zip|gzip|pdf|wasm|x-protobuf|protobuf)")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_BOM = codecs.BOM_UTF8[:1]  # the least that one begins with
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def _read(content_type: str) -> Media:
    mime_type = content_type.partition(";")[0].strip().lower()
    found = _PARAMETER.search(content_type)
    name = found[1].lower() if found else ""
    charset = ""
    if _CHARSET.fullmatch(name):
        try:
            charset = codecs.lookup(name).name
        except LookupError:
            charset = ""
    opaque = _OPAQUE.fullmatch(mime_type) is not None and not mime_type.endswith("+xml")
    return Media(mime_type, charset, _TEXT.fullmatch(mime_type) is not None, opaque)


_remembered = lru_cache(512)(_read)


def media(content_type: str) -> Media:
    """What a Content-Type value says; short values are remembered."""
    return _remembered(content_type) if len(content_type) <= 128 else _read(content_type[:1024])


def text(content: bytes, kind: Media, *, cut: bool = False) -> str | None:
    """The text that `content` is, or None where it is binary; `cut`: it may end inside a character.

    A BOM wins over the charset parameter (WHATWG Encoding §6), then UTF-8; what calls itself text
    and is neither is read as Latin-1, which never fails. What does not call itself text is text
    when it is UTF-8 without control characters.
    """
    if content[:1] >= _BOM and not kind.opaque:
        for bom, charset in _BOMS:
            if content.startswith(bom):
                return _decoded(content[len(bom) :], charset, cut)
    if kind.charset and kind.charset != "utf-8" and not kind.opaque:
        decoded = _decoded(content, kind.charset, cut)
        if decoded is not None:
            return decoded
    if kind.opaque or (not kind.declared and _CONTROLS.search(content)):
        return None
    decoded = _decoded(content, "utf-8", cut)
    if decoded is None and kind.declared:
        return content.decode("latin-1")
    return decoded


def _decoded(content: bytes, charset: str, cut: bool) -> str | None:
    try:
        if cut:
            return codecs.getincrementaldecoder(charset)().decode(content, False)
        return content.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return None
