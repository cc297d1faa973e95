"""Where a command writes the secrets of its TLS: a file for its owner alone, gone when we are, however we end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pysniff.errors import WriteError

# It waits for its input to end, which the kernel sees to when we are gone, and clears up.
_AFTER_US = """
while read -r line; do :; done
rm -rf -- "$1"
# What goes on in the group goes back to where it came from, and what it starts meanwhile, too.
for again in 1 2 3 4 5 6 7 8 9 10; do
    test -d "$2" || exit 0
    while read -r process; do echo "$process" >"$2/../cgroup.procs"; done <"$2/cgroup.procs" 2>/dev/null
    rmdir -- "$2" 2>/dev/null && exit 0
    sleep 0.1 2>/dev/null || sleep 1
done
"""


class KeyFolder:
    """`path`: the key log, in a folder of mode 0700 and with mode 0600 itself.

    Programs append to the file: OpenSSL's users, NSS, Python and others find it by SSLKEYLOGFILE, node by an option.
    `group`: a folder of cgroupfs that is to be removed as well. Raises WriteError.
    """

    def __init__(self, group: str = "") -> None:
        try:
            self._folder = tempfile.mkdtemp(prefix="pysniff-run-")  # mode 0700
            self.path = str(Path(self._folder) / "keys.log")
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            # In a session of its own: what ends us with a signal to the group is not meant for it.
            self._watcher = subprocess.Popen(
                ["/bin/sh", "-c", _AFTER_US, "sh", self._folder, group],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise WriteError(f"no place for the command's secrets: {error.strerror}") from None

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """With what makes programs write their secrets; what somebody set for node stays."""
        options = environ.get("NODE_OPTIONS", "")
        quoted = self.path.replace("\\", "\\\\").replace('"', '\\"')
        option = f'--tls-keylog="{quoted}"' if " " in quoted else f"--tls-keylog={quoted}"
        return {**environ, "SSLKEYLOGFILE": self.path, "NODE_OPTIONS": f"{options} {option}".lstrip()}

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()
        self._watcher.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
