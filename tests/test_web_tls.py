"""What the page shows of TLS: calls that were decrypted and with what, handshakes that were not and why, and for each
worker where its keys come from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from browser import NewPage, shot
from certificates import Authority
from cluster_programs import Programs
from playwright.sync_api import expect
from test_web_laptop import Page as Laptop
from tls_shop import Shop
from tls_wire import TlsWire, get, ok

from pysniff.capture.writer import Writer
from pysniff.packet import Block, Packet


@pytest.fixture
def capture(tmp_path: Path) -> tuple[Path, Path]:
    """Two connections in a file, and the key log of the first one alone."""
    certificate = Authority(tmp_path, "authority").issue("shop.example")
    first = TlsWire(tmp_path / "keys", certificate, now=1_795_262_400_000_000_000)
    second = TlsWire(tmp_path / "others", certificate, sport=51001, now=1_795_262_401_000_000_000)
    packets: list[Packet] = []
    for number, tls in enumerate((first, second)):
        packets += [*tls.handshake(), *tls.call(get(f"/pay/{number}"), ok(b"paid")), *tls.farewell()]
    return written(tmp_path / "calls.pcapng", packets), tmp_path / "keys"


def written(path: Path, packets: Sequence[Packet]) -> Path:
    with Writer(str(path)) as writer:
        for packet in packets:
            writer.write(Block.of(packet))
    return path


@pytest.fixture
def programs(built_page: None, tmp_path: Path) -> Iterator[Programs]:
    with Programs(tmp_path) as programs:
        yield programs


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Shop(tmp_path) as shop:
        yield shop


def test_a_decrypted_call_says_with_what(
    tmp_path: Path,
    programs: Programs,
    capture: tuple[Path, Path],
    new_page: NewPage,
) -> None:
    file, keys = capture
    laptop = Laptop(programs, tmp_path, "-r", file, "--keylog", keys)
    page = new_page()
    page.goto(laptop.url)
    call = page.get_by_role("row").filter(has_text="/pay/0")
    call.click()
    expect(call.get_by_role("img", name="TLS")).to_be_visible()
    page.get_by_role("tab", name="TLS").click()
    facts = page.get_by_label("TLS", exact=True).and_(page.locator("dl"))
    expect(facts).to_contain_text("TLS 1.3")
    expect(facts).to_contain_text("shop.example")
    expect(facts).to_contain_text("a key log")
    shot(page, "tls-facts")
    page.get_by_role("row").filter(has_text="tlsx").last.click()
    expect(page.get_by_text("What is inside was not decrypted")).to_be_visible()
    expect(page.get_by_text("none for this connection")).to_be_visible()
    shot(page, "tls-closed")


def test_a_screen_that_a_filter_leaves_empty_says_where_keys_can_be_had(
    tmp_path: Path,
    programs: Programs,
    capture: tuple[Path, Path],
    new_page: NewPage,
) -> None:
    laptop = Laptop(programs, tmp_path, "-r", capture[0], "-Y", "http")
    page = new_page()
    page.goto(f"{laptop.url}/#/calls?filter=http")
    expect(page.get_by_role("heading", name="Encrypted")).to_be_visible()
    expect(page.get_by_text("2 TLS connections are among them")).to_be_visible()
    for command in ("sudo pysniff worker --tls", "pysniff --web --keylog FILE", "sudo pysniff run -- COMMAND"):
        expect(page.get_by_text(command, exact=True)).to_be_visible()
    page.get_by_role("button", name="Show the handshakes").click()
    expect(page.get_by_role("row").filter(has_text="shop.example")).to_have_count(2)
    shot(page, "tls-empty")


@pytest.mark.needs_root
@pytest.mark.needs_ebpf
def test_a_worker_shows_which_programs_it_reads(
    tmp_path: Path,
    programs: Programs,
    shop: Shop,
    new_page: NewPage,
) -> None:
    words = ("-i", "lo", "--tls", "--tls-only", os.getpid(), "tcp", "port", shop.port)
    laptop = Laptop(programs, tmp_path, *words)
    page = new_page()
    page.goto(laptop.url)
    empty = re.compile("^Waiting for calls|^No packets|^The capture filter")
    expect(page.get_by_text(empty)).to_be_visible(timeout=30_000)
    shop.get("/pay")
    expect(page.get_by_role("row").filter(has_text="/pay")).to_be_visible()
    page.goto(f"{laptop.url}/#/workers")
    expect(page.get_by_text("1 of 1 connection that began have keys")).to_be_visible()
    page.get_by_text(re.compile("with a TLS library")).click()
    table = page.get_by_label("Programs with a TLS library")
    me = table.get_by_role("row").filter(has_text=str(os.getpid())).filter(has_text="OpenSSL 3")
    expect(me.first).to_contain_text("reads keys")
    heads = table.get_by_role("columnheader").all_inner_texts()
    cells = me.first.get_by_role("cell")
    # A row's first cell is its header.
    expect(cells.nth(heads.index("Decrypted") - 1)).to_have_text("1")
    expect(cells.nth(heads.index("Without keys") - 1)).to_have_text("0")
    shot(page, "tls-programs")
