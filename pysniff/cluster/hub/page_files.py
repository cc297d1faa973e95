"""The files of the built page, read once and kept: what is served is a look-up in this table, and never a path.

So no request reaches the disk, and a page that is built anew meanwhile is served by the next hub, whole.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from aiohttp import hdrs, web

from pysniff.errors import FileError
from pysniff.limits import MIB

DOCUMENT: Final = "index.html"
# All files together. It is some 300 KB; source maps, of a page that is being worked on, are not served.
MOST_BYTES: Final = 8 * MIB
_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# esbuild writes a hash of the content into the name, so what it names never changes.
_HASHED: Final = re.compile(r"-[A-Z0-9]{8}\.[a-z]+")
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file: its bytes as they are and, where that is smaller, as gzip packs them."""

    content_type: str
    body: bytes
    packed: bytes | None
    tag: str
    cache: str

    @classmethod
    def of(cls, name: str, body: bytes) -> Self:
        packed = gzip.compress(body, 9, mtime=0)
        return cls(
            _TYPES[Path(name).suffix],
            body,
            packed if len(packed) < len(body) else None,
            hashlib.sha256(body).hexdigest()[:32],
            _FOR_EVER if _HASHED.search(name) else "no-cache",
        )

    def answer(self, request: web.Request) -> web.Response:
        """As the client takes it, or 304 where it has it already."""
        packed = self.packed if self.packed is not None and takes_gzip(request) else None
        # RFC 9110 §8.8.3.3: what is coded otherwise has another strong tag.
        tag = f"{self.tag}-gzip" if packed is not None else self.tag
        headers = {hdrs.ETAG: f'"{tag}"', hdrs.CACHE_CONTROL: self.cache, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if any(one.value in (tag, "*") for one in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        if packed is not None:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(
            body=self.body if packed is None else packed,
            content_type=self.content_type,
            charset="utf-8",
            headers=headers,
        )


def read(folder: Path) -> Mapping[str, PageFile]:
    """The files by name; raise FileError where they are no page."""
    files, size = {}, 0
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix in _TYPES and path.is_file():
                size += path.stat().st_size
                if size > MOST_BYTES:
                    raise FileError(f"{folder}: the page exceeds {MOST_BYTES:,} bytes", hint="build it again")
                files[path.name] = PageFile.of(path.name, path.read_bytes())
    except OSError as error:
        raise FileError(f"{folder}: {error.strerror}", hint="build the page again") from None
    return files


def takes_gzip(request: web.Request) -> bool:
    """RFC 9110 §12.5.3, as far as it concerns gzip."""
    for one in ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, [])).split(","):
        name, _, weight = one.partition(";")
        if name.strip().lower() == "gzip":
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight) is None
    return False
