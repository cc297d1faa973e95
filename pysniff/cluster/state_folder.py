"""Where a user's programs keep what they made: $XDG_STATE_HOME/pysniff, or ~/.local/state/pysniff.

https://specifications.freedesktop.org/basedir-spec/latest/
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pysniff.errors import FileError

TOKEN, STORE = "token", "worker"


def token_file(environment: Mapping[str, str]) -> Path:
    """The file of the token that hub and worker of one user share; its folder is made. Raises FileError."""
    return _folder(environment, "no place for a token", "name one with --token-file, or set PYSNIFF_TOKEN") / TOKEN


def store_folder(environment: Mapping[str, str]) -> Path:
    """Where a worker keeps packets that was not told where; the folder around it is made. Raises FileError."""
    return _folder(environment, "no place for packets", "name a directory with --store") / STORE


def _folder(environment: Mapping[str, str], problem: str, hint: str) -> Path:
    given = environment.get("XDG_STATE_HOME", "")
    try:
        # A relative path is to be ignored, the specification says.
        folder = Path(given) if given.startswith("/") else Path.home() / ".local" / "state"
        folder = folder / "pysniff"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise FileError(f"{problem}: {error}", hint=hint) from None
    return folder
