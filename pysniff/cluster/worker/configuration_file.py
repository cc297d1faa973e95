"""The last document that a hub set, kept beside the store: DIR/worker.json, for its owner alone.

A file is whole or as it was: it is written under another name and renamed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pysniff.cluster.worker.configuration import Document
from pysniff.errors import FileError, OptionError, WriteError
from pysniff.limits import KIB

NAME = "worker.json"
# The largest document has some 256 names and as many targets, and a long filter.
LARGEST = 256 * KIB


def load(directory: Path) -> Document:
    """What was kept, version 0 where nothing was; raise FileError for what cannot be read or is no document."""
    path = directory / NAME
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except FileNotFoundError:
        return Document()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    try:
        told = json.loads(text) if len(text) <= LARGEST else None
        if not isinstance(told, dict):
            raise ValueError
        return Document.of(told)
    except (ValueError, RecursionError):
        raise FileError(f"{path}: not a configuration", hint=_HINT) from None
    except OptionError as error:
        raise FileError(f"{path}: {error}", hint=_HINT) from None


def keep(directory: Path, document: Document) -> None:
    """Keep it for the next start; raise WriteError, and what was kept stays."""
    path = directory / NAME
    part = directory / f"{NAME}.{os.getpid()}.part"
    try:
        number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(number, "w", encoding="utf-8") as file:
                json.dump(document.to_dict(), file)
                file.flush()
                os.fsync(number)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WriteError(f"{path}: {error.strerror}") from None


_HINT = "remove it to begin with what the command line says"
