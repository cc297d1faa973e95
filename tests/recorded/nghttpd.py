"""nghttpd, the server of nghttp2, on a port of the machine's choice; its output is a log of frames."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recorded.nginx import await_listening, free_port
from recorded.recording import PATIENCE


@contextmanager
def nghttpd(home: Path, files: dict[str, bytes], *options: str) -> Iterator[int]:
    """Serves `files` without TLS; gives the port. With `--verbose` among the options its log is in home/log."""
    for name, content in files.items():
        (home / "www" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "www" / name).write_bytes(content)
    port = free_port()
    command = ["nghttpd", "--no-tls", "-a", "127.0.0.1", *options, "-d", str(home / "www"), str(port)]
    with (home / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as it:
        try:
            await_listening(port, it)
            yield port
        finally:
            it.terminate()
            it.wait(PATIENCE)
