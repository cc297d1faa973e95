"""What a hub sets on a worker: checked strictly, in versions, in force or refused with the reason, and kept."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_talk import Talk

from pysniff.capture import bpf
from pysniff.cluster.frames import End, Error, Value
from pysniff.cluster.worker.capturing_words import CaptureSettings
from pysniff.cluster.worker.configuration import Configuration, Document, narrowed
from pysniff.cluster.worker.configuration_file import NAME, keep, load
from pysniff.errors import FileError, OptionError, WriteError

FULL: dict[str, object] = {
    "version": 3,
    "interfaces": ["eth0", "lo"],
    "netns": ["blue"],
    "bpf": "tcp port 80",
    "targets": ["10.0.0.7", "10.1.0.0/16", "fe80::1"],
    "storage_limit": 5_000_000,
    "flush_interval": 1.5,
}


def test_a_document_is_read_and_written_as_it_was() -> None:
    assert Document.of(FULL).to_dict() == FULL
    assert Document.of({"version": 1}).to_dict() == {"version": 1}
    assert Document.of({"version": 1, "flush_interval": 2}).to_dict() == {"version": 1, "flush_interval": 2.0}
    assert Document.of({"version": 1, "targets": ["10.0.0.7/8", "10.0.0.0/8", "FE80::0001"]}).to_dict()["targets"] == [
        "10.0.0.0/8",
        "fe80::1",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "3"}, "version"),
        ({"version": -1}, "version"),
        ({"version": 1 << 60}, "version"),
        ({"version": True}, "version"),
        ({"version": None}, "version"),
        ({"bpff": "tcp"}, "'bpff': no such setting"),
        ({"bpf": ["tcp"]}, "bpf"),
        ({"bpf": "tcp\nudp"}, "bpf"),
        ({"interfaces": "eth0"}, "interfaces"),
        ({"interfaces": ["/dev/mem"]}, "interfaces"),
        ({"interfaces": ["rpcap://10.0.0.1/eth0"]}, "interfaces"),
        ({"interfaces": [""]}, "interfaces"),
        ({"interfaces": [1]}, "interfaces"),
        ({"netns": ["/etc/shadow"]}, "netns: a path"),
        ({"netns": [".."]}, "netns: a path"),
        ({"targets": ["shop.example"]}, "no address"),
        ({"targets": ["10.0.0.1 or tcp"]}, "no address"),
        ({"targets": ["fe80::1%eth0"]}, "no address"),
        ({"targets": ["10.0.0.1"] * 1000}, "1000 of them"),
        ({"storage_limit": 1.5}, "storage_limit"),
        ({"storage_limit": 1 << 60}, "storage_limit"),
        ({"flush_interval": "1s"}, "flush_interval"),
        ({"flush_interval": float("nan")}, "flush_interval"),
        ({"flush_interval": True}, "flush_interval"),
    ],
)
def test_a_document_with_a_mistake_is_refused_with_its_place(change: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Document.of({**FULL, **change})


@pytest.mark.parametrize(
    "change", [{"storage_limit": 1000}, {"flush_interval": 0.001}, {"flush_interval": 3600}, {"bpf": "x" * 100_000}]
)
def test_what_the_capture_could_not_do_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(change))):
        Configuration().overlaid(Document.of({"version": 1, **change}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*FULL, "x"]) | st.text(), json_values))
def test_whatever_a_hub_says_is_a_document_or_a_mistake(told: dict[str, object]) -> None:
    try:
        document = Document.of(told)
        effective = Configuration().overlaid(document)
    except OptionError:
        return
    assert Document.of(json.loads(json.dumps(document.to_dict()))) == document
    assert effective.version == document.version


def test_what_a_document_does_not_name_is_as_the_command_line_says() -> None:
    command_line = Configuration(capture=CaptureSettings(interfaces=("eth7",), bpf="udp"))
    effective = command_line.overlaid(Document.of({"version": 2, "targets": ["10.0.0.7"]}))
    assert effective.capture.interfaces == ("eth7",)
    assert effective.settings().bpf == "(udp) and (host 10.0.0.7)"
    assert effective.to_dict() == {
        "version": 2,
        "interfaces": ["eth7"],
        "netns": [],
        "bpf": "udp",
        "storage_limit": 200_000_000,
        "flush_interval": 0.2,
        "targets": ["10.0.0.7"],
        "tls": "",
    }
    assert command_line.overlaid(Document()) == command_line


def test_targets_narrow_the_capture_filter() -> None:
    assert narrowed("tcp or udp", ()) == "tcp or udp"
    assert narrowed("", ("10.0.0.7", "10.1.0.0/16")) == "host 10.0.0.7 or net 10.1.0.0/16"
    text = narrowed("tcp or udp", ("fe80::1", "2001:db8::/32"))
    assert text == "(tcp or udp) and (host fe80::1 or net 2001:db8::/32)"
    bpf.compile(text, 1)
    bpf.compile(narrowed("", tuple(f"10.0.{number}.0/24" for number in range(256))), 1)


# Kept


def test_what_was_kept_is_there_again_for_its_owner_alone(tmp_path: Path) -> None:
    assert load(tmp_path) == Document()
    keep(tmp_path, Document.of(FULL))
    assert load(tmp_path) == Document.of(FULL)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": "1"}', '{"version": 1, "x": 2}', "[" * 9999])
def test_a_damaged_file_is_said_and_not_overlooked(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(FileError, match=NAME):
        load(tmp_path)


def test_what_cannot_be_kept_leaves_what_was(tmp_path: Path) -> None:
    keep(tmp_path, Document.of(FULL))
    with pytest.raises(WriteError):
        keep(tmp_path / "missing", Document.of({"version": 9}))
    assert load(tmp_path) == Document.of(FULL)


# Set by a hub


class Hub:
    """Sets configurations of a worker that is not there but for its processes."""

    def __init__(self, worker: Talk) -> None:
        self.worker = worker

    async def set(self, **document: object) -> dict[str, object]:
        return await self.worker.configuring.configure(document)


def test_configurations_go_up_in_version_and_never_back(tmp_path: Path) -> None:
    async def talk() -> None:
        async with Talk(tmp_path) as worker:
            hub = Hub(worker)
            assert worker.configuring.to_dict()["config"] == {"version": 0}
            first = await hub.set(version=2, bpf="tcp", targets=["10.0.0.7"])
            assert (first["version"], first["accepted"], first["reason"]) == (2, True, "")
            assert worker.capture.settings[-1].bpf == "(tcp) and (host 10.0.0.7)"
            again = await hub.set(version=2, targets=["10.0.0.7"], bpf="tcp")
            assert again == first and len(worker.capture.settings) == 1
            older = await hub.set(version=1, bpf="udp")
            assert (older["version"], older["accepted"]) == (2, False)
            assert str(older["reason"]).startswith("older:") and older["effective"] == first["effective"]
            # Two hubs wrote one version: the same one wins on every node (precedence.py).
            lesser = await hub.set(version=2, bpf="arp")
            assert not lesser["accepted"] and str(lesser["reason"]).startswith("conflict:")
            greater = await hub.set(version=2, bpf="udp")
            assert greater["accepted"] and worker.capture.settings[-1].bpf == "udp"
            back = await hub.set(version=3)
            assert back["accepted"] and worker.capture.settings[-1] == CaptureSettings()
            assert not (await hub.set(version=0, bpf="udp"))["accepted"]
            assert load(tmp_path) == Document.of({"version": 3})

    asyncio.run(talk())


def test_a_configuration_that_cannot_be_in_force_changes_nothing(tmp_path: Path) -> None:
    async def talk() -> None:
        async with Talk(tmp_path) as worker:
            hub = Hub(worker)
            broken = await hub.set(version=1, bpf="tcp port")
            assert not broken["accepted"] and "tcp port" in str(broken["reason"])
            escaping = await hub.set(version=1, bpf="tcp) or (udp", targets=["10.0.0.7"])
            assert not escaping["accepted"] and "'tcp) or (udp'" in str(escaping["reason"])
            strange = await hub.set(version=1, colour="red")
            assert not strange["accepted"] and "no such setting" in str(strange["reason"])
            worker.capture.reason = "no such namespace: blue"
            refused = await hub.set(version=1, netns=["blue"])
            assert (refused["accepted"], refused["reason"]) == (False, "no such namespace: blue")
            assert refused["effective"] == Configuration().to_dict() and refused["version"] == 0
            assert not worker.capture.settings and load(tmp_path) == Document()

    asyncio.run(talk())


def test_a_configuration_that_cannot_be_kept_is_in_force_and_says_so(tmp_path: Path) -> None:
    async def talk() -> dict[str, object]:
        async with Talk(tmp_path / "missing") as worker:
            found = await Hub(worker).set(version=1, storage_limit=1_000_000)
            assert worker.capture.settings[-1].storage_limit == 1_000_000
            assert any("not kept" in line for line in worker.told)
            return found

    found = asyncio.run(talk())
    assert found["accepted"] and "not kept" in str(found["reason"])


def test_a_hub_says_what_else_the_cluster_talks_over(tmp_path: Path) -> None:
    async def talk() -> None:
        async with Talk(tmp_path) as worker:
            value, end = await worker.ask("configure", exclude=[["10.0.0.7", 8897], ["fe80::0001", 40000]])
            assert isinstance(value, Value) and value.value == {} and isinstance(end, End)
            assert worker.excluded == {"a-hub": [("10.0.0.7", 8897), ("fe80::1", 40000)]}
            await worker.ask("configure", by="another", exclude=[["10.0.0.8", 8897]])
            for wrong in ([["shop", 80]], [["10.0.0.7", 0]], [["10.0.0.7"]], [80], "all", [["10.0.0.7", 80]] * 1000):
                (error,) = await worker.ask("configure", exclude=wrong)
                assert isinstance(error, Error) and error.code == "option"
            (error,) = await worker.ask("configure", exclude=[], config={"version": 1})
            assert isinstance(error, Error)
            assert [len(ends) for ends in worker.excluded.values()] == [2, 1]

    asyncio.run(talk())


def test_hubs_that_configure_at_once_take_turns(tmp_path: Path) -> None:
    async def talk() -> None:
        async with Talk(tmp_path) as worker:
            hub = Hub(worker)
            await asyncio.gather(*(hub.set(version=version, flush_interval=version) for version in (3, 1, 4, 2, 5)))
            assert worker.configuring.document.version == 5
            assert [settings.flush_interval for settings in worker.capture.settings] == [3.0, 4.0, 5.0]
            assert load(tmp_path) == worker.configuring.document

    asyncio.run(talk())


def test_a_filter_that_takes_libpcap_for_ever_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pysniff.cluster.worker import answers

    monkeypatch.setattr(answers, "_COMPILING", 0.0)

    async def talk() -> dict[str, object]:
        async with Talk(tmp_path) as worker:
            return await Hub(worker).set(version=1, bpf="tcp")

    found = asyncio.run(talk())
    assert not found["accepted"] and "seconds" in str(found["reason"])
