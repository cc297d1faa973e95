"""Who may ask a hub: nobody without its token, but this machine while the hub is there for it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from hub_fakes import TOKEN, FakeWorker, Running, capturing, running

from pysniff.cluster.access import Access
from pysniff.cluster.hub.hosts import Authority, Hosts, authority, origin
from pysniff.cluster.hub.limits import DEFAULT
from pysniff.cluster.hub.rates import Rates, party

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATHS = ("/api/workers", "/api/config", "/api/targets", "/api/filter", "/api/openapi.json", "/metrics", "/api/nothing")


def talk(conversation: Callable[[Running], Awaitable[None]], **options: object) -> None:
    """Have a conversation with a hub of one worker."""

    async def main() -> None:
        async with running(FakeWorker("n1", {"status": capturing()}), **options) as hub:  # type: ignore[arg-type]
            await conversation(hub)

    asyncio.run(main())


@pytest.mark.parametrize("path", PATHS)
def test_beyond_loopback_every_path_needs_the_token(path: str) -> None:
    async def conversation(hub: Running) -> None:
        status, problem = await hub.get(path)
        assert (status, problem["code"]) == (401, "token")
        status, _ = await hub.get(path, Authorization="Bearer not-the-token-of-the-hub")
        assert status == 401
        status, _ = await hub.get(path, Authorization=f"Basic {TOKEN}")
        assert status == 401
        async with hub.client.get(hub.url + path, headers=BEARER) as answer:
            assert answer.status == (404 if path == "/api/nothing" else 200)

    talk(conversation, abroad=True)


def test_a_hub_without_a_token_lets_nobody_in_from_beyond() -> None:
    async def conversation(hub: Running) -> None:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
            status, _ = await hub.get("/api/workers", **headers)
            assert status == 401

    talk(conversation, abroad=True, access=Access(None))


def test_on_loopback_alone_this_machine_needs_no_token() -> None:
    async def conversation(hub: Running) -> None:
        assert (await hub.get("/api/workers"))[0] == 200
        for host in (f"localhost:{hub.port}", f"LOCALHOST.:{hub.port}", f"[::1]:{hub.port}"):
            assert (await hub.get("/api/workers", Host=host))[0] == 200

    talk(conversation)


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_what_a_proxy_on_this_machine_forwards_needs_the_token(field: str) -> None:
    async def conversation(hub: Running) -> None:
        assert (await hub.get("/api/workers", **{field: "10.1.2.3"}))[0] == 401
        assert (await hub.get("/api/workers", **{field: "10.1.2.3"}, **BEARER))[0] == 200

    talk(conversation)


def test_a_port_forwarded_under_another_number_needs_the_token() -> None:
    async def conversation(hub: Running) -> None:
        host = f"localhost:{hub.port % 60_000 + 1}"
        assert (await hub.get("/api/workers", Host=host))[0] == 401
        assert (await hub.get("/api/workers", Host=host, **BEARER))[0] == 200

    talk(conversation)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8898", "127.0.0.1.evil.example", "0.0.0.0", "10.9.8.7"])
def test_a_name_that_dns_rebinds_to_the_hub_is_not_its_own(host: str) -> None:
    async def conversation(hub: Running) -> None:
        for headers in ({}, BEARER):
            for path in ("/api/workers", "/", "/healthz", "/?token=" + TOKEN):
                status, problem = await hub.get(path, Host=host, **headers)
                assert (status, problem["code"]) == (421, "host")
                assert "--allowed-host" in problem["hint"]

    talk(conversation)


def test_a_hub_goes_by_the_names_it_was_given() -> None:
    async def conversation(hub: Running) -> None:
        for host in ("hub.example", "HUB.example.:80", "[2001:db8::1]:99"):
            assert (await hub.get("/api/workers", Host=host, **BEARER))[0] == 200
            assert (await hub.get("/api/workers", Host=host))[0] == 401

    talk(conversation, allowed_hosts=("Hub.Example", "2001:db8::1"))


@pytest.mark.parametrize("text", ["", "a b", "a,b", "user@host", "host:port", "host:99999", "[::1", "a/b", "ä"])
def test_a_host_that_is_no_host_is_none(text: str) -> None:
    assert authority(text, 80) is None


def test_hosts_and_origins_are_compared_with_their_default_ports() -> None:
    assert authority("Hub.Example.", 80) == Authority("hub.example", 80)
    assert origin("https://hub.example") == Authority("hub.example", 443)
    assert origin("null") is None
    assert origin("file:///etc/passwd") is None
    assert not Hosts([("0.0.0.0", 80)], ["0.0.0.0"]).knows(Authority("0.0.0.0", 80), "10.0.0.1")


@pytest.mark.parametrize("value", ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1"])
def test_pages_of_other_origins_may_not_ask(value: str) -> None:
    async def conversation(hub: Running) -> None:
        for method, path in (("GET", "/api/workers"), ("PATCH", "/api/config"), ("GET", "/"), ("POST", "/api/config")):
            for headers in ({}, BEARER):
                status, problem = await hub.send(method, path, headers={"Origin": value, **headers})
                assert (status, problem["code"]) == (403, "origin")

    talk(conversation)


def test_a_websocket_of_another_origin_is_refused_before_it_opens() -> None:
    async def conversation(hub: Running) -> None:
        with pytest.raises(WSServerHandshakeError) as caught:
            await hub.client.ws_connect(hub.url + "/api/link", origin="https://evil.example")
        assert caught.value.status == 403

    talk(conversation)


def test_the_hubs_own_page_may_ask_also_behind_a_proxy_that_speaks_tls() -> None:
    async def conversation(hub: Running) -> None:
        assert (await hub.get("/api/workers", Origin=hub.url))[0] == 200
        forwarded = {"Host": "hub.example", "Origin": "https://hub.example", "X-Forwarded-For": "10.0.0.1", **BEARER}
        assert (await hub.get("/api/workers", **forwarded))[0] == 200

    talk(conversation, allowed_hosts=("hub.example",))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_picture_or_script_on_another_page_does_not_ask_either(site: str) -> None:
    async def conversation(hub: Running) -> None:
        assert (await hub.get("/api/config", **{"Sec-Fetch-Site": site}))[0] == 403
        assert (await hub.get("/api/config", **{"Sec-Fetch-Site": "same-origin"}))[0] == 200
        # A link to the page itself may stand anywhere.
        async with hub.client.get(hub.url + "/", headers={"Sec-Fetch-Site": site}) as answer:
            assert answer.status == 200

    talk(conversation)


def test_no_answer_lets_another_origin_read_or_frame_it() -> None:
    async def conversation(hub: Running) -> None:
        for path in ("/", "/api/workers", "/api/nothing", "/metrics", "/healthz"):
            async with hub.client.get(hub.url + path) as answer:
                assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["Cache-Control"] == "no-store"
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'self'" in policy
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["Server"] == "pysniff"
        async with hub.client.options(hub.url + "/api/config", headers={"Origin": hub.url}) as answer:
            assert answer.status == 405

    talk(conversation)


def test_a_browser_signs_in_once_and_keeps_a_cookie_that_is_not_the_token() -> None:
    async def conversation(hub: Running) -> None:
        async with hub.client.get(f"{hub.url}/?token={TOKEN}", allow_redirects=False) as answer:
            assert answer.status == 303
            assert answer.headers["Location"] == "/"
            assert TOKEN not in answer.headers["Set-Cookie"]
            assert "HttpOnly" in answer.headers["Set-Cookie"]
            assert "SameSite=Strict" in answer.headers["Set-Cookie"]
            cookie = answer.cookies[f"pysniff-{hub.port}"].value
        expiry, _, proof = cookie.partition(".")
        async with ClientSession() as stranger:
            for value, status in (
                (cookie, 200),
                (f"{int(expiry) + 1}.{proof}", 401),
                (f"{expiry}.{'0' * 64}", 401),
                ("", 401),
                ("\xe4.\xe4", 401),
                (TOKEN, 401),
            ):
                cookies = {f"pysniff-{hub.port}": value}
                async with stranger.get(hub.url + "/api/workers", cookies=cookies) as answer:
                    assert answer.status == status, value

    talk(conversation, abroad=True)


def test_a_wrong_token_does_not_sign_in() -> None:
    async def conversation(hub: Running) -> None:
        for token in ("", "wrong", TOKEN + "x", TOKEN[:-1], "ä"):
            async with hub.client.get(hub.url + "/?token=" + quote(token), allow_redirects=False) as answer:
                assert answer.status == 401
                assert "Set-Cookie" not in answer.headers

    talk(conversation, abroad=True)


def test_a_cookie_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def conversation(hub: Running) -> None:
        async with hub.client.get(f"{hub.url}/?token={TOKEN}", allow_redirects=False) as answer:
            cookies = {f"pysniff-{hub.port}": answer.cookies[f"pysniff-{hub.port}"].value}
        async with ClientSession() as stranger, stranger.get(hub.url + "/api/workers", cookies=cookies) as answer:
            assert answer.status == 401

    monkeypatch.setattr("pysniff.cluster.hub.signin.AGE", -1)
    talk(conversation, abroad=True)


def test_probes_need_no_token_and_get_no_details() -> None:
    async def conversation(hub: Running) -> None:
        assert await hub.get("/healthz") == (200, {"alive": True})
        status, body = await hub.get("/readyz")
        assert (status, body) == (200, {"alive": True, "ready": True, "connected": 1, "capturing": 1})
        _, body = await hub.get("/readyz", **BEARER)
        assert [row["node"] for row in body["workers"]] == ["n1"]

    talk(conversation, abroad=True)


def test_wrong_tokens_are_slowed_down_and_the_right_one_tells_nothing_meanwhile() -> None:
    limits = replace(DEFAULT, wrong_tokens=3, wrong_token_rate=0.001)

    async def conversation(hub: Running) -> None:
        for number in range(3):
            assert (await hub.get("/api/workers", Authorization=f"Bearer guess-{number}"))[0] == 401
        for token in ("another-guess", TOKEN):
            async with hub.client.get(hub.url + "/api/workers", headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == 429
                assert int(answer.headers["Retry-After"]) > 1
        assert hub.hub.counts.refused["wrong_tokens"] == 2

    talk(conversation, abroad=True, limits=limits)


def test_an_address_that_asks_too_often_is_told_to_wait() -> None:
    limits = replace(DEFAULT, burst=5, rate=0.001)

    async def conversation(hub: Running) -> None:
        statuses = [(await hub.get("/healthz"))[0] for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        assert hub.hub.counts.refused["rate"] == 2

    talk(conversation, limits=limits)


def test_rates_refill_and_remember_a_bounded_number_of_addresses() -> None:
    now = 0.0
    rates = Rates(2.0, 3.0, 2, lambda: now)
    for _ in range(3):
        assert rates.wait("a") == 0
        rates.spend("a")
    assert rates.wait("a") == pytest.approx(0.5)
    assert rates.wait("b") == 0
    now = 0.5
    assert rates.wait("a") == 0
    rates.spend("a")
    assert rates.wait("a") > 0
    for address in ("b", "c"):
        rates.spend(address)
    assert rates.wait("a") == 0  # forgotten: the table holds two


def test_hosts_of_one_ipv6_network_are_one_party() -> None:
    assert party("2001:db8::1") == party("2001:db8::ffff:1") == "2001:db8::/64"
    assert party("2001:db8:0:1::1") != party("2001:db8::1")
    assert party("::ffff:10.0.0.1") == party("10.0.0.1") == "10.0.0.1"
    assert party("fe80::1%eth0") == "fe80::/64"
    assert party("nothing") == "nothing"


def test_a_worker_that_dials_in_shows_the_workers_token() -> None:
    async def conversation(hub: Running) -> None:
        assert (await hub.get("/api/link"))[0] == 401
        assert (await hub.get("/api/link", Authorization="Bearer wrong"))[0] == 401
        async with hub.client.get(hub.url + "/api/link", headers=BEARER) as answer:
            assert await answer.text() == "a link"

    talk(conversation, abroad=True)
