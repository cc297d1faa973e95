"""A process that answers out of the store, one question after the other:

    python -m pysniff.cluster.worker.dissecting DIR NODE [NAMES [KEYS]]

On standard input, each with its length before it: the question as an Ask frame, then Notices that people should know
meanwhile, perhaps the next question; its end is the end of this process. On standard output: a message without bytes
when a question may come, the first one too, and the answer's frames. Dissection takes CPU and memory that nobody knows
beforehand, and what it reads is hostile: here it can only hurt its own answer. Where an answer went wrong in a way that
nobody foresaw there is no next one.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
from collections import deque
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from pysniff.cluster.frames import MESSAGE, Ask, Notice, decode
from pysniff.cluster.packed import FrameError
from pysniff.cluster.worker.answering import Answering, Unsupported
from pysniff.cluster.worker.keys import Keys
from pysniff.cluster.worker.names_file import NamesFile
from pysniff.cluster.worker.params import Params
from pysniff.cluster.worker.telling import LENGTH, Telling, ready
from pysniff.errors import FilterError, NotFoundError, OptionError, PysniffError
from pysniff.kfl import patterns

# Who captures goes first; where memory runs out, the kernel takes this process rather than that one.
_PATIENCE = 10
_EXPENDABLE = 1000
# Address space, in bytes: the conversations that one question may hold, and what libraries reserve without using it.
MEMORY = 4 << 30
# Texts that wait to be told.
_TEXTS = 100
# Where entries come from: a worker's store holds what it captured.
_SOURCE = "libpcap"


def main(directory: str, node: str, names: str = "", keys: str = "") -> int:
    out = os.dup(1)
    os.dup2(2, 1)  # what a plugin prints must not get between frames
    _humble()
    file = NamesFile(names)
    file.look()
    gc.collect()
    gc.freeze()
    heard = _Heard()
    Thread(target=heard.listen, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        while True:
            ready(out)
            ask = heard.asked()
            telling = Telling(out, ask.id)
            secrets = Keys.of(keys).sources
            answering = Answering(Path(directory), node, _SOURCE, telling, heard.take, file, secrets)
            if not _answer(answering, ask, telling):
                break
            _forget()
    return 0


def _answer(answering: Answering, ask: Ask, telling: Telling) -> bool:
    """Whether the answer ended as answers do, a mistake in the question included."""
    try:
        answering.answer(ask.what, Params(ask.params))
        return True
    except BrokenPipeError:
        raise
    except FrameError as error:
        telling.error("internal", error.message, "an answer that fits no frame: please report it")
    except PysniffError as error:
        telling.error(_code(error), error.message, _hint(error))
        return True
    except MemoryError:
        telling.error(
            "internal", f"the answer takes more than {MEMORY >> 30} GiB of memory", "ask for less: a filter, times"
        )
    except OSError as error:
        telling.error("internal", f"the store cannot be read: {error.strerror or error}")
    except Exception as error:
        if os.environ.get("PYSNIFF_DEBUG") == "1":
            raise
        telling.error("internal", f"{type(error).__name__}: {error}", "this is a bug: please report it")
    return False


def _forget() -> None:
    """Have the next answer be that of a new process, and as small."""
    patterns.forget()  # a pattern that is known costs a filter fewer steps
    gc.collect()


def _code(error: PysniffError) -> str:
    match error:
        case FilterError():
            return "filter"
        case NotFoundError():
            return "notfound"
        case Unsupported():
            return "unsupported"
        case OptionError():
            return "option"
        case _:
            return "internal"


def _hint(error: PysniffError) -> str:
    excerpt = error.excerpt if isinstance(error, FilterError) else ""
    return "\n".join(part for part in (error.hint, excerpt) if part)


def _humble() -> None:
    os.nice(_PATIENCE)
    with contextlib.suppress(OSError):  # no such file, or none that may be written: not Linux, or a strange container
        Path("/proc/self/oom_score_adj").write_text(str(_EXPENDABLE))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


class _Heard:
    """What the worker says on standard input."""

    def __init__(self) -> None:
        self._asks: SimpleQueue[Ask] = SimpleQueue()
        self._texts: deque[str] = deque(maxlen=_TEXTS)

    def listen(self) -> None:
        """Until the worker has enough, or is no more: then this process is of no use."""
        while (data := self._read()) is not None:
            match decode(data):
                case Ask() as ask:
                    self._texts.clear()  # they came too late for the answer before
                    self._asks.put(ask)
                case Notice() as notice:
                    self._texts.append(notice.text)
        os._exit(0)

    def asked(self) -> Ask:
        """The next question, once it is there."""
        return self._asks.get()

    def take(self) -> list[str]:
        found: list[str] = []
        while self._texts:
            found.append(self._texts.popleft())
        return found

    def _read(self) -> bytes | None:
        """The next message; None at the end."""
        head = self._exactly(LENGTH.size)
        size = LENGTH.unpack(head)[0] if head is not None else MESSAGE + 1
        return self._exactly(size) if size <= MESSAGE else None

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            piece = os.read(0, size - len(parts))
            if not piece:
                return None
            parts += piece
        return bytes(parts)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
