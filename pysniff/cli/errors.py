"""How a run ends: an exit code, and where it failed one line on stderr that says the way out.

Exit codes are Wireshark's (ws_exit_codes.h), 20 is `--strict`'s own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable

import click

from pysniff.cli.terminal import visible
from pysniff.errors import FilterError, PysniffError, WriteError

FINE, OPTION, INTERFACE, FILE, FILTER, PRIVILEGE, READ, WRITE = 0, 1, 2, 3, 4, 5, 14, 15
LOST = 20  # --strict, and a byte was lost or not understood
BUG = 70  # EX_SOFTWARE of sysexits.h: told apart from everything Wireshark means
INTERRUPTED = 130  # 128 + SIGINT, as shells report it

# Packages that the plain install goes without, and the extra of setup.cfg that has each.
EXTRAS = {
    **dict.fromkeys(("aiohttp", "h2", "msgpack", "prometheus_client", "yaml"), "cluster"),
    "cryptography": "tls",
}

REPORT = "this is a bug: please report it with what PYSNIFF_DEBUG=1 shows and `pysniff doctor`"


def guarded(run: Callable[[], int]) -> int:
    """The exit code of `run`, or that of the exception it ended with, which is told on stderr."""
    try:
        code = run()
        flush_stdout()
        return code
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        complain(usage_message(error))
        return OPTION
    except BrokenPipeError:
        # `| head -1` has seen enough: that is no error.
        abandon_stdout()
        return FINE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except PysniffError as error:
        if isinstance(error, WriteError):
            abandon_stdout()
        complain(str(error))
        if isinstance(error, FilterError):
            point(error.excerpt)
        return error.exit_code
    except OSError as error:
        # Files and interfaces raise errors of ours: this is click, printing help onto a full disk.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            unexpected(error)
            return BUG
        abandon_stdout()
        complain(f"standard output: {error.strerror}")
        return WRITE
    except ModuleNotFoundError as error:
        if (extra := EXTRAS.get((error.name or "").partition(".")[0])) is None:
            unexpected(error)
            return BUG
        complain(f"this needs {error.name} (pip install 'pysniff[{extra}]')")
        return OPTION
    except Exception as error:
        unexpected(error)
        return BUG


def flush_stdout() -> None:
    """Bring out what is buffered, so that a disk that is full is told and not lost at exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"standard output: {error.strerror}") from error


def usage_message(error: click.ClickException) -> str:
    """click's message in the manner of ours: `no such option: --foo (did you mean --follow?)`."""
    text = error.format_message().strip().rstrip(".").replace("a valid integer range", "a whole number")
    text = text[:1].lower() + text[1:]
    if isinstance(error, click.UsageError) and "(" not in text:
        text += " (see pysniff --help)"
    return text


def complain(message: str) -> None:
    """One line on stderr. What a file name or the wire put into it cannot move the cursor."""
    click.echo(f"pysniff: {visible(message)}", err=True)


def point(excerpt: str) -> None:
    """The lines of a filter, and the caret under what is wrong."""
    for line in excerpt.splitlines():
        click.echo(f"  {visible(line)}", err=True)


def unexpected(error: Exception) -> None:
    if os.environ.get("PYSNIFF_DEBUG") == "1":
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    message = str(error)
    what = type(error).__name__ + (f": {message}" if message else "")
    complain(f"{what} ({REPORT})")


def abandon_stdout() -> None:
    """Let the interpreter flush into nothing at exit instead of failing once more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it is None where it was closed from the start
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
