"""Protobuf descriptor sets from files, for the names that gRPC does not send."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pysniff.errors import FileError

if TYPE_CHECKING:
    from pysniff.protobuf.schema import Schemas

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_HINT = "make one with protoc --include_imports -o shop.pb shop.proto"


def schemas(paths: Paths) -> Schemas:
    """What the descriptor sets in these files say; raise FileError where one cannot be read, or is none."""
    from pysniff.protobuf.schema import BadSchema, Schemas

    found = Schemas()
    for path in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        try:
            found.add(Path(path).read_bytes())
        except OSError as error:
            raise FileError(f"{path}: {error.strerror or error}", hint="--proto takes a descriptor set") from None
        except BadSchema:
            raise FileError(f"{path}: not a protobuf descriptor set", hint=_HINT) from None
    return found
