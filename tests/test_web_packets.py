"""The page shows a call's packets, its connection and its replay, as they were."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from browser import PHONE, shot
from playwright.sync_api import expect
from web_capture_reading import tshark

if TYPE_CHECKING:
    from browser import NewPage
    from playwright.sync_api import Locator, Page
    from web_bed import HubProgram, WebBed

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("tshark")]

MAC = re.compile("Destination [0-9a-f]{2}:")


def path_is(path: str) -> str:
    return f'path == "{path}"'


def one(web: WebBed, path: str) -> dict[str, Any]:
    """The call of a path, once it is stored."""
    return web.hub.wait_calls(path_is(path))[0]


def shown(page: Page, hub: HubProgram, id: str, *parts: str) -> None:
    """A call, and what is chosen of it: tabs and buttons, one after the other."""
    page.goto(f"{hub.url}/#/calls?call={quote(id)}")
    for number, part in enumerate(parts):
        page.get_by_role("tab" if number == 0 else "button", name=part, exact=True).click()


def rows(page: Page, name: str) -> Locator:
    return page.get_by_role("listbox", name=name).get_by_role("option")


def said_in_hex(page: Page, side: str) -> bytes:
    """What the byte view shows of one side: all of it is in sight."""
    lines = page.locator(f".said-row .spoken.{side} .octets").all_inner_texts()
    return bytes.fromhex("".join(lines))


def test_the_list_of_packets_is_what_tshark_reads_in_the_same_download(web: WebBed, page: Page, tmp_path: Path) -> None:
    web.traffic.http("POST", "/packets/list", b"x" * 4_000, {"Content-Type": "text/plain"})
    id = one(web, "/packets/list")["id"]
    with page.expect_response(f"**/api/entries/{id}/pcap") as downloading:
        shown(page, web.hub, id, "Packets")
    capture = tmp_path / "call.pcapng"
    capture.write_bytes(downloading.value.body())
    expected = list(tshark(capture))
    expect(rows(page, "Packets")).to_have_count(len(expected))
    for row, packet in zip(rows(page, "Packets").all(), expected, strict=True):
        assert packet is not None
        number, _, _, _, layer, size, info = row.locator("> span").all_inner_texts()
        seq, ack = packet.relative.split(" ")
        assert (number, layer, size) == (packet.number, "TCP", packet.wire)
        assert f"seq={seq} len={packet.length} ack={ack} win={packet.window}" in info
    # The hub's comment on the packet in which the call begins.
    rows(page, "Packets").filter(has_text="✎").click()
    expect(page.get_by_text(f"{id} http POST /packets/list 404")).to_be_visible()
    shot(page, "packets")


def test_a_field_leads_to_its_bytes_and_a_byte_to_its_field(web: WebBed, page: Page) -> None:
    web.traffic.get("/packets/field")
    shown(page, web.hub, one(web, "/packets/field")["id"], "Packets")
    field = page.get_by_role("treeitem", name=re.compile("^Sequence number"))
    field.click()
    number = re.search(r", (\d+)$", field.inner_text())
    assert number
    marked = page.locator(".hex .octets .marked")
    expect(marked).to_have_count(4)
    assert bytes.fromhex("".join(marked.all_inner_texts())) == int(number[1]).to_bytes(4, "big")
    page.locator(".hex .octets i").last.click()
    expect(page.get_by_role("treeitem", selected=True)).to_have_text(re.compile(r"Payload \d+ bytes"))


def test_a_field_that_is_clicked_before_the_next_frame_is_chosen(web: WebBed, page: Page) -> None:
    web.traffic.get("/packets/quick")
    page.add_init_script("""new MutationObserver((_, watch) => {
      const fields = [...document.querySelectorAll("[role=treeitem]")];
      const field = fields.find((one) => one.textContent.includes("Sequence number"));
      if (!field) return;
      watch.disconnect();
      field.click();
    }).observe(document, { childList: true, subtree: true })""")
    shown(page, web.hub, one(web, "/packets/quick")["id"], "Packets")
    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("Sequence number")
    expect(page.locator(".hex .octets .marked")).to_have_count(4)


def test_packets_layers_and_bytes_are_walked_by_keys(web: WebBed, page: Page) -> None:
    web.traffic.get("/packets/keys")
    shown(page, web.hub, one(web, "/packets/keys")["id"], "Packets")
    packets = page.get_by_role("listbox", name="Packets")
    packets.focus()
    page.keyboard.press("End")
    expect(packets.get_by_role("option").last).to_have_attribute("aria-selected", "true")
    tree = page.get_by_role("tree", name="Layers of the packet")
    tree.get_by_role("treeitem").first.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(tree.get_by_role("treeitem", name=MAC)).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(tree.get_by_role("treeitem", selected=True)).to_have_text(MAC)
    expect(page.locator(".hex .octets .marked")).to_have_count(6)
    octets = page.get_by_role("application", name=re.compile("^Packet"))
    octets.focus()
    page.keyboard.press("ArrowRight")
    expect(octets).to_have_accessible_name(re.compile("byte 1 of"))
    # Left closes a layer, and the call stays chosen.
    tree.get_by_role("treeitem", selected=True).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(tree.get_by_role("treeitem", name=MAC)).to_have_count(0)


def test_the_calls_of_a_connection_are_told_in_order_and_lead_to_each(web: WebBed, page: Page) -> None:
    with web.traffic.kept_alive() as ask:
        for number in range(4):
            ask("GET", f"/connection/{number}", None, {})
    calls = web.hub.wait_calls('path.startsWith("/connection/")', 4)
    shown(page, web.hub, calls[1]["id"], "Stream")
    told = rows(page, "Calls of the connection, in order of time")
    expect(told).to_have_count(4)
    for number, row in enumerate(told.all()):
        expect(row).to_contain_text(f"GET /connection/{number}")
    expect(told.nth(1)).to_have_attribute("aria-selected", "true")
    shot(page, "connection-calls")
    told.nth(3).click()
    expect(page).to_have_url(re.compile(re.escape(quote(calls[3]["id"]))))
    expect(told.nth(3)).to_have_attribute("aria-selected", "true")


def test_the_byte_view_is_what_both_ends_really_sent(web: WebBed, page: Page) -> None:
    body = bytes(range(0, 256, 3))
    asked = b"POST /bytes/real HTTP/1.1\r\nHost: <b>shop</b>\r\nContent-Length: 86\r\n\r\n" + body
    answered = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\xe2\x80\xaeevil"
    web.traffic.raw(asked, answered)
    shown(page, web.hub, one(web, "/bytes/real")["id"], "Stream", "Bytes", "Hex")
    expect(page.get_by_role("log")).to_be_visible()
    assert said_in_hex(page, "client") == asked
    assert said_in_hex(page, "server") == answered
    expect(page.get_by_text("are missing here")).to_have_count(0)
    expect(page.get_by_text("came again")).to_have_count(0)
    page.get_by_role("button", name="Text", exact=True).click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("Host: <b>shop</b>")
    expect(log).to_contain_text("\\u202eevil")
    shot(page, "connection-bytes")


def test_bytes_that_belong_to_no_call_are_there_too(web: WebBed, page: Page) -> None:
    web.traffic.grpc(3)
    call = web.hub.wait_calls("grpc", 3)[1]
    shown(page, web.hub, call["id"], "Stream", "Bytes", "Hex")
    # RFC 9113 §3.4: preface and settings.
    expect(page.get_by_role("log")).to_contain_text("PRI * HTTP/2.0")
    expect(page.get_by_text("opens the connection").first).to_be_visible()
    expect(page.get_by_text("stand as gaps")).to_have_count(0)


def test_datagrams_stand_one_by_one(web: WebBed, page: Page) -> None:
    web.traffic.dns("shop.test")
    call = web.hub.wait_calls('dns && dns_questions.exists(name, name == "shop.test")')[0]
    shown(page, web.hub, call["id"], "Packets")
    expect(rows(page, "Packets").first).to_contain_text("UDP")
    page.get_by_role("tab", name="Stream").click()
    page.get_by_role("button", name="Bytes", exact=True).click()
    expect(page.locator(".said-row .turn.client").first).to_contain_text("Client")
    expect(page.locator(".said-row .turn.server").first).to_contain_text("Server")


def test_on_a_phone_packets_and_bytes_fit(web: WebBed, new_page: NewPage) -> None:
    web.traffic.get("/packets/phone")
    page = new_page(size=PHONE)
    shown(page, web.hub, one(web, "/packets/phone")["id"], "Packets")
    page.get_by_role("treeitem", name=re.compile("^TCP")).click()
    expect(page.locator(".hex .octets .marked").first).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE[0]
    shot(page, "packets-phone")


def test_without_a_target_the_page_says_how_to_allow_replay(web: WebBed, page: Page) -> None:
    web.traffic.get("/replay/none")
    shown(page, web.hub, one(web, "/replay/none")["id"], "Replay")
    expect(page.get_by_text("--replay-target staging:8080")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Send to"))).to_have_count(0)


class Answering:
    """A real server on loopback, that answers every request alike, or with b"" never; `asked` are the requests."""

    def __init__(self, answer: bytes) -> None:
        self.asked: Queue[bytes] = Queue()
        self.left: Queue[None] = Queue()
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                talk, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._talk, args=(talk,), daemon=True).start()

    def _talk(self, talk: socket.socket) -> None:
        with talk:
            while data := talk.recv(65_536):
                self.asked.put(data)
                talk.sendall(self._answer)
        self.left.put(None)


@contextmanager
def answering(answer: bytes) -> Iterator[Answering]:
    server = Answering(answer)
    try:
        yield server
    finally:
        server.close()


def test_a_call_is_sent_again_and_compared(web: WebBed, page: Page) -> None:
    web.traffic.http("GET", "/catalogue?replayed", fields={"Cookie": "session=5e55"})
    id = web.hub.wait_calls('url == "/catalogue?replayed"')[0]["id"]
    with answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno") as server:
        hub = web.start_hub("--replay-target", server.name)
        web.await_connected(hub, "n1", "n2")
        shown(page, hub, id, "Replay")
        expect(page.get_by_text("with its cookies and credentials")).to_be_visible()
        expect(page.get_by_text("This call has cookie")).to_be_visible()
        page.get_by_label("times").fill("3")
        page.get_by_role("button", name=f"Send to {server.name}").click()
        result = page.get_by_role("region", name="What came of it")
        expect(result).to_contain_text("3 sent")
        expect(result).to_contain_text("3 differ")
        expect(result.get_by_role("row", name="503 3", exact=True)).to_be_visible()
        expect(result.get_by_role("row", name=re.compile(r"status 200 503 3$"))).to_be_visible()
        assert b"session=5e55" in server.asked.get(timeout=30)
        shot(page, "replay")


def test_who_stops_a_replay_ends_it(web: WebBed, page: Page) -> None:
    with web.traffic.kept_alive() as ask:
        for number in range(2):
            ask("GET", f"/replay/stop/{number}", None, {})
    id = web.hub.wait_calls('path.startsWith("/replay/stop/")', 2)[0]["id"]
    with answering(b"") as server:
        hub = web.start_hub("--replay-target", server.name)
        web.await_connected(hub, "n1", "n2")
        shown(page, hub, id, "Replay")
        page.get_by_label("all calls of its connection").check()
        page.get_by_role("button", name="Send to").click()
        assert b"/replay/stop/0" in server.asked.get(timeout=30)
        page.get_by_role("button", name="Stop").click()
        server.left.get(timeout=30)
        expect(page.get_by_role("button", name="Send to")).to_be_visible()
        assert server.asked.empty()


def test_what_the_hub_refuses_is_said_in_its_words(web: WebBed, page: Page) -> None:
    web.traffic.get("/packets/away")
    id = one(web, "/packets/away")["id"]
    shown(page, web.hub, id, "Overview")
    expect(page.get_by_role("tab", name="Overview", selected=True)).to_be_visible()
    web.workers[id.split(".")[0]].stop()
    page.get_by_role("tab", name="Packets").click()
    expect(page.get_by_role("alert").filter(has_text="Ask again")).to_contain_text(re.compile("not connected|away"))
    web.start_worker(id.split(".")[0])
    web.await_connected(web.hub, "n1", "n2")
    page.get_by_role("button", name="Ask again").click()
    expect(rows(page, "Packets").first).to_be_visible()
