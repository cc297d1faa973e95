"""Certificates for tests, made by the openssl program."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """A CA of its own in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        # RFC 5280 wants both extensions, and Python 3.13 asks for them.
        about = ("-days", "2", "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign")
        self._run("req", "-x509", *about, *_new(self._key), "-out", self.certificate)

    def issue(self, name: str, *, alternative: str = "IP:127.0.0.1") -> tuple[Path, Path]:
        """Certificate and key."""
        certificate, key = self._folder / f"{self._name}-{name}.pem", self._folder / f"{self._name}-{name}.key"
        request, extensions = self._folder / "request", self._folder / "extensions"
        extensions.write_text(f"subjectAltName = {alternative}\nauthorityKeyIdentifier = keyid\n")
        self._run("req", "-subj", f"/CN={name}", *_new(key), "-out", request)
        self._run(
            *("x509", "-req", "-days", "2", "-in", request, "-out", certificate, "-extfile", extensions),
            *("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
        )
        return certificate, key

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _new(key: Path) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key)
