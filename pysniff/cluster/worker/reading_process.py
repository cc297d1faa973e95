"""The child process of a worker that records what capture files hold, once (reading.py starts it).

`python -m pysniff.cluster.worker.reading_process DIRECTORY`, told on standard input and heard on standard output in the
words of capturing_words.py. It ends when everything is written; before that when its standard input does, or on
SIGTERM, with everything written that was read.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import IO, Any

from pysniff import reading
from pysniff.cluster.worker.capturing_words import COUNTERS, CaptureSettings, taken
from pysniff.cluster.worker.keys import Keys
from pysniff.cluster.worker.speaking import Speaking
from pysniff.errors import PysniffError
from pysniff.limits import MIB
from pysniff.secret_ring import SecretRing, Told
from pysniff.secrets import Secret
from pysniff.store import Store

# Seconds between reports.
_EVERY = 0.2
# Names of files, some thousands of them.
_LONGEST = 8 * MIB


class Process:
    """`run()` to the end of the files, or until it is told to end. Raises PysniffError."""

    def __init__(self, directory: Path, begin: dict[str, Any], speaking: Speaking) -> None:
        settings, files = CaptureSettings.of(begin["settings"]), begin["files"]
        self._speaking = speaking
        self._due = 0.0
        self._progress: tuple[int, int] = (0, 0)
        follow = bool(files["follow"])
        store = Store(directory, settings.storage_limit)
        # Files have time, unless somebody writes them meanwhile: nothing is dropped where the disk is slow.
        keys = Keys.of(begin["keys"])
        self._recorder = store.record(
            keep_all=bool(begin["keep_all"]),
            capture_source="file",
            wait=not follow,
            secrets=keys.sources(follow=follow, ring=False),
            keep_secrets=bool(begin["keep_secrets"]),
        )
        self._ring = None if keys.ring is None else SecretRing(keys.ring)
        try:
            self._entries = reading.read(
                *map(str, files["names"]),
                bpf=settings.bpf,
                follow=follow,
                duration=files["duration"],
                write=self._recorder,
                progress=self._proceed,
                dissect=False,
            )
        except BaseException:
            self._recorder.close()
            raise
        self._entries.secrets.tell(self._found)

    def _found(self, secret: Secret, source: str) -> None:
        """The capture brought a secret with it: for those who decrypt, and the store if it keeps any."""
        self._recorder.learn(secret, source)
        if self._ring is not None:
            self._ring.put((Told(secret, 0),))

    def run(self, commands: IO[bytes]) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._entries.stop())
        Thread(target=self._listen, args=(commands,), name="commands", daemon=True).start()
        try:
            with self._recorder, self._entries as entries:
                for _ in entries.batches():
                    pass
                entries.secrets.poll()
            self._report(ready=True)
        except PysniffError:
            self._report()
            raise

    def _proceed(self, done: int, total: int | None) -> None:
        self._entries.secrets.poll()  # nobody dissects here who would
        self._progress = done, total or 0
        if monotonic() >= self._due:
            self._due = monotonic() + _EVERY
            self._report(ready=True)

    def _report(self, *, ready: bool = False) -> None:
        if self._speaking.is_full:
            return
        entries, recorder = self._entries, self._recorder
        ledger = entries.ledger
        recorder.account(ledger)
        done, total = self._progress
        self._speaking.say(
            ready=ready,
            counters={name: ledger.total(name) for name in COUNTERS},
            notices=taken(recorder.notices),
            segment=recorder.segment,
            store_bytes=recorder.used,
            tls=(*recorder.tls, 0),
            bytes_read=done,
            bytes_in_all=total,
        )

    def _listen(self, commands: IO[bytes]) -> None:
        """In a thread of its own: whoever had it begin has enough, or is no more."""
        while commands.read(1):
            pass
        self._entries.stop()


def main(words: Sequence[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker
    speaking, commands = Speaking(os.dup(1)), os.fdopen(os.dup(0), "rb")
    try:
        line = commands.readline(_LONGEST)
        if line:
            begin = json.loads(line)
            if begin["files"]["input"] is not None:  # what a file called - is
                os.dup2(begin["files"]["input"], 0)
            Process(Path(words[0]), begin, speaking).run(commands)
    except PysniffError as error:
        speaking.say(failed=type(error).__name__, message=error.message, hint=error.hint)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
