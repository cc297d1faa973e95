"""What it takes to watch a command: where it writes its secrets, and who knows which connections are its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from typing import Self

from pysniff.launched.belonging import Belonging
from pysniff.launched.command import Command, adopt_orphans
from pysniff.launched.control_group import ControlGroup
from pysniff.launched.family import Family
from pysniff.launched.key_folder import KeyFolder
from pysniff.launched.socket_tables import children


class Watched:
    """Made before the capture begins, so that nothing of the command is missed; then start() it.

    `keylog`: where its secrets will be. `inexact`: why nobody knows exactly which packets are the command's, "" where
    the kernel says it. `group`: its control group's folder, "" where there is none. Raises WriteError.
    """

    def __init__(self) -> None:
        self.inexact = ""
        self._stack = ExitStack()
        self.group = ""
        self._group: ControlGroup | None = None
        self._family: Family | None = None
        try:
            self._group = ControlGroup()
            self._stack.callback(self._group.close)
            self.group = self._group.path
        except OSError as error:
            why = "it takes root" if os.geteuid() else error.strerror or str(error)
            self.inexact = f"sockets are looked at, the kernel does not tell whose packets are: {why}"
        try:
            self._keys = self._stack.enter_context(KeyFolder(self.group))
        except BaseException:
            self._stack.close()
            raise
        self.keylog = self._keys.path
        self._belonging: Belonging | None = None

    def watch(self) -> Belonging:
        """What lets its packets through; for when whatever else is to be a child of this process has been started."""
        if self._group is not None:
            self._belonging = Belonging(self._group)
        else:
            adopt_orphans()
            self._family = Family(strangers=children(os.getpid()))
            self._family.start()
            self._stack.callback(self._family.close)
            self._belonging = Belonging(self._family)
        return self._belonging

    def start(self, words: Sequence[str], environ: Mapping[str, str] = os.environ) -> Command:
        """Raise NotStarted."""
        with self._group.joined() if self._group is not None else nullcontext():
            return Command(words, self._keys.environment(environ))

    def facts(self) -> Iterator[str]:
        """What a person should know of what was not seen, or may be somebody else's."""
        belonging = self._belonging
        if belonging is None:
            return
        if self._family is not None and self._family.hidden:
            count = len(self._family.hidden)
            who = "1 process of the command runs" if count == 1 else f"{count:,} processes of the command run"
            yield f"{who} as somebody else: what they talk is not shown"
        if belonging.guessed:
            yield (
                f"{_connections(belonging.guessed)} over before anybody could say whose: shown, as they may be the"
                " command's (as root the kernel says it)"
            )
        if belonging.unknown:
            yield f"of {belonging.unknown:,} conversations nobody could say whose they are: not shown"

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connections(count: int) -> str:
    return "1 connection was" if count == 1 else f"{count:,} connections were"
