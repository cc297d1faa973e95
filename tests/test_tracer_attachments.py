"""Every file with a TLS library is probed once, whoever maps it and however often, and whatever is in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from tracer_bed import until

from pysniff.tracer import attachments, follower
from pysniff.tracer.attachments import Attachments
from pysniff.tracer.bpf import Descriptor
from pysniff.tracer.elf import ElfError
from pysniff.tracer.follower import Follower
from pysniff.tracer.hook import Hook, Kind, Library, Mapped

KEYS = Hook(Kind.LOG_SECRET, "ssl_log_secret", 16, (8,))
PLAIN = Hook(Kind.SSL_READ, "SSL_read", 32)


class Probes:
    """A prober that only notes; each of its probes is a pipe's end."""

    def __init__(self, *refused: str) -> None:
        self.attached: list[str] = []
        self.made: list[Descriptor] = []
        self._refused = refused

    def wants(self, hook: Hook) -> bool:
        return hook.kind.reveals_keys

    def attach(self, hook: Hook, path: str, file: int) -> Sequence[Descriptor]:
        if hook.function in self._refused:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.attached.append(f"{file} {Path(path).read_text()}")
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.close(writing)
        self.made.append(Descriptor(reading))
        return self.made[-1:]

    @property
    def open(self) -> int:
        return sum(one.fd >= 0 for one in self.made)


class System:
    """Files and who maps them. What a file says is what is in it: tls, problem, damaged, plain, or anything else."""

    def __init__(self, folder: Path, probes: Probes) -> None:
        self.folder, self.probes = folder, probes
        self.examined: list[str] = []
        self.attachments = Attachments((probes,), self.examine, self.opened)

    def examine(self, path: str) -> Sequence[Library]:
        text = Path(path).read_text()
        self.examined.append(text)
        match text.split()[:1]:
            case ["tls"]:
                return (Library("OpenSSL", "3.0.19", (KEYS, PLAIN)),)
            case ["both"]:
                return Library("OpenSSL", "3", (KEYS,)), Library("NSS", "", (), "NSS keeps its keys")
            case ["problem"]:
                return (Library("NSS", "", (), "NSS keeps its keys"),)
            case ["plain"]:
                return (Library("libcrypto", "3", (PLAIN,)),)
            case ["damaged"]:
                raise ElfError("no table")
            case ["surprise"]:
                raise RuntimeError("nobody thought of this")
        return ()

    def opened(self, mapped: Mapped) -> int:
        return os.open(mapped.path, os.O_RDONLY)

    def mapped(self, name: str, text: str | None = None, pid: int = 1) -> Mapped:
        path = self.folder / name
        if text is not None:
            path.write_text(text)
        status = path.stat()
        return Mapped(pid, str(path), status.st_dev, status.st_ino)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path, Probes())


def test_a_file_is_examined_and_probed_once(system: System) -> None:
    first = system.attachments.meet(system.mapped("a", "tls a"))
    assert system.attachments.meet(system.mapped("a", pid=2)) is first
    assert system.attachments.meet_path(str(system.folder / "a")) is first
    os.link(system.folder / "a", system.folder / "b")
    assert system.attachments.meet(system.mapped("b")) is first
    assert (system.examined, system.probes.attached) == (["tls a"], ["1 tls a"])
    assert first
    assert (first.library, [hook.function for hook in first.hooks]) == ("OpenSSL 3.0.19", ["ssl_log_secret"])


def test_a_file_without_tls_is_examined_once(system: System) -> None:
    for _ in range(2):
        assert system.attachments.meet(system.mapped("a", None if system.examined else "libz")) is None
        assert system.attachments.meet(system.mapped("b", None if len(system.examined) > 1 else "plain")) is None
    assert system.examined == ["libz", "plain"]


def test_another_file_under_the_same_name_is_another_file(system: System) -> None:
    system.attachments.meet(system.mapped("a", "tls old"))
    (system.folder / "new").write_text("tls new")
    (system.folder / "new").rename(system.folder / "a")
    system.attachments.meet(system.mapped("a"))
    assert system.probes.attached == ["1 tls old", "2 tls new"]


def test_a_file_that_was_written_anew_in_its_place_is_examined_again(system: System) -> None:
    """As a program that is built again and again may get the number of the one before."""
    assert system.attachments.meet(system.mapped("a", "libz")) is None
    system.attachments.meet(system.mapped("a", "tls now"))
    assert system.probes.attached == ["1 tls now"]


def test_what_cannot_be_probed_says_why(tmp_path: Path) -> None:
    system = System(tmp_path, Probes("ssl_log_secret"))
    refused = system.attachments.meet(system.mapped("a", "tls"))
    none = system.attachments.meet(system.mapped("b", "problem"))
    surprise = system.attachments.meet(system.mapped("c", "surprise"))
    assert refused and none and surprise
    assert refused.problem == "ssl_log_secret: Invalid argument"
    assert none.problem == "NSS keeps its keys"
    assert "RuntimeError: nobody thought of this" in surprise.problem
    assert system.attachments.meet(system.mapped("d", "damaged")) is None


def test_what_is_probed_only_in_part_says_what_is_lacking(system: System) -> None:
    file = system.attachments.meet(system.mapped("a", "both"))
    assert file
    assert (file.problem, file.shortcomings) == ("", ("NSS keeps its keys",))


def test_what_is_gone_is_counted(system: System) -> None:
    gone = system.mapped("a", "tls")
    (system.folder / "a").unlink()
    assert system.attachments.meet(gone) is None
    assert system.attachments.meet_path(str(system.folder / "a")) is None
    assert system.attachments.vanished == 2


def test_a_file_for_which_there_is_no_descriptor_is_not_gone(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = system.mapped("a", "tls")

    def none_left(_: Mapped) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(system.attachments, "_opened", none_left)
    assert system.attachments.meet(mapped) is None
    assert (system.attachments.vanished, system.attachments.refused) == (0, 1)


def test_where_there_is_no_room_what_nobody_maps_is_given_up(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST_FILES", 3)
    installed = system.mapped("installed", "tls installed")
    system.attachments.meet_path(installed.path)
    used, unused, new = (system.mapped(name, f"tls {name}") for name in ("used", "unused", "new"))
    for one in (used, unused, new):
        system.attachments.meet(one)
    assert (system.attachments.refused, system.probes.open) == (1, 3)
    system.attachments.sweep([used])
    assert (system.probes.open, [file.path for file in system.attachments.files()]) == (2, [installed.path, used.path])
    system.attachments.meet(new)
    system.attachments.meet(unused)
    assert (system.attachments.refused, system.probes.open) == (2, 3)


def test_after_close_no_probe_is_left_and_none_is_made(system: System) -> None:
    system.attachments.meet(system.mapped("a", "tls a"))
    system.attachments.close()
    assert system.probes.open == 0
    system.attachments.meet(system.mapped("b", "tls b"))
    assert system.probes.open == 0


class News:
    """A watch that tells what a test puts in."""

    lacking = ""
    lost = 0

    def __init__(self) -> None:
        self.coming: list[Mapped] = []
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def put(self, mapped: Mapped) -> None:
        self.coming.append(mapped)
        os.write(self._writing, b"\0")

    def descriptors(self) -> Sequence[int]:
        return [self._reading]

    def take(self) -> list[Mapped]:
        os.read(self._reading, 4096)
        coming, self.coming = self.coming, []
        return coming

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)


def test_files_mapped_before_and_after_the_start_are_probed(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST_FILES", 3)
    monkeypatch.setattr(follower, "_SWEEP_PAUSE", 0.0)
    mapped: list[Mapped] = [system.mapped("now", "tls now")]
    installed: Iterable[str] = [system.mapped("installed", "tls installed").path]
    news = News()
    following = Follower(system.attachments, news, installed=lambda: installed, now=lambda: mapped)
    assert system.probes.attached == ["1 tls now", "2 tls installed"]
    news.put(system.mapped("new", "tls new"))
    until(lambda: system.probes.attached[2:] == ["3 tls new"], "the new file is probed")
    news.put(latest := system.mapped("latest", "tls latest"))
    until(lambda: len(system.attachments.files()) == 2, "files that nobody maps are given up")
    news.put(latest)
    until(lambda: system.probes.attached[3:] == ["4 tls latest"], "there is room again")
    following.close()
    system.attachments.close()
    assert system.probes.open == 0


def test_a_watch_that_fails_is_told(system: System) -> None:
    class Failing(News):
        def take(self) -> list[Mapped]:
            raise ValueError("no record")

    following = Follower(system.attachments, news := Failing(), installed=list, now=list)
    news.put(system.mapped("new", "tls new"))
    until(lambda: following.failure, "it is told")
    assert following.failure == "programs that start now are not seen any more: ValueError: no record"
    following.close()
