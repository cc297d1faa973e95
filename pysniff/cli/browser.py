"""Opens a browser at an address: as the person who is at the machine, never as root on a person's behalf.

The address stands among the words of a process, where every user of the machine can read it: it must hold no secret.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

# Isolated: no module of the folder in which this is run. It may wait as long as the browser runs.
_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


class Person(NamedTuple):
    """Whose browser it is: None for who runs this process."""

    uid: int
    gid: int
    name: str
    home: str


async def open_browser(url: str) -> str:
    """ "" once it was opened, else why it was not."""
    person = behind_sudo(os.environ)
    environment = dict(os.environ) if person is None else environment_of(person, os.environ)
    reason = reason_against(environment, as_root=os.geteuid() == 0 and person is None)
    if reason:
        return reason
    identity: dict[str, Any] = {}
    if person is not None:
        groups = os.getgrouplist(person.name, person.gid)
        identity = {"user": person.uid, "group": person.gid, "extra_groups": groups, "cwd": "/"}
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", _OPEN, url,
            stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True, env=environment, **identity,
        )  # fmt: skip
    except OSError as error:
        return error.strerror or str(error)
    return "none was found" if await process.wait() else ""


def reason_against(environment: Mapping[str, str], *, as_root: bool) -> str:
    """Why opening one would go wrong, or take this terminal for one of those that show text; else ""."""
    if environment.get("BROWSER"):
        return ""  # somebody knows better
    if as_root:
        return "browsers are not for root"
    if sys.platform != "darwin" and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return "there is no display"
    return ""


def behind_sudo(environment: Mapping[str, str]) -> Person | None:
    """Who became root with sudo."""
    uid = environment.get("SUDO_UID", "")
    if os.geteuid() != 0 or not uid.isdecimal() or int(uid) == 0:
        return None
    try:
        found = pwd.getpwuid(int(uid))
    except (KeyError, OverflowError):
        return None
    return Person(found.pw_uid, found.pw_gid, found.pw_name, found.pw_dir)


def environment_of(person: Person, environment: Mapping[str, str]) -> dict[str, str]:
    """Theirs, as far as it can be known: sudo leaves little of it."""
    found = {name: value for name, value in environment.items() if not name.startswith(("SUDO_", "PYSNIFF_"))}
    found |= {"HOME": person.home, "USER": person.name, "LOGNAME": person.name}
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        found.pop(name, None)  # root's
    # https://specifications.freedesktop.org/basedir-spec/latest/, as systemd keeps it
    folder = Path(f"/run/user/{person.uid}")
    if folder.is_dir():
        found["XDG_RUNTIME_DIR"] = str(folder)
        if (folder / "bus").exists():
            found["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={folder}/bus"
        if (folder / "wayland-0").exists():
            found.setdefault("WAYLAND_DISPLAY", "wayland-0")
    return found
