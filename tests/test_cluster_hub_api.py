"""The hub's HTTP interface: filters, workers, health; and that its OpenAPI document says what it does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hub_fakes import JSON, TOKEN, FakeWorker, Running, capturing, running
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode, checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks as openapi_checks

from pysniff.cluster.frames import Error
from pysniff.cluster.hub.limits import DEFAULT, HubLimits
from pysniff.cluster.hub.openapi import COMMON, document

PATIENCE = 60.0


def talk(conversation: Callable[[Running], Awaitable[None]], *workers: FakeWorker) -> None:
    async def main() -> None:
        async with running(*workers) as hub:
            await conversation(hub)

    asyncio.run(main())


# Filters


def test_a_filter_that_compiles_is_explained() -> None:
    async def conversation(hub: Running) -> None:
        status, told = await hub.get(
            "/api/filter?q=http%20%26%26%20dst.port%20%3D%3D%208080%20%26%26%20status_code>=500"
        )
        assert status == 200
        assert [one["name"] for one in told["variables"]] == ["dst.port", "http", "status_code"]
        assert told["index"]["condition"] == "http && dst.port == 8080"
        assert told["dissected"] == ["status_code"]
        assert (await hub.get("/api/filter?q="))[1]["filter"] == ""

    talk(conversation)


def test_a_filter_that_does_not_compile_says_where_and_what_was_meant() -> None:
    async def conversation(hub: Running) -> None:
        status, problem = await hub.get("/api/filter?q=http%20%26%26%20statuscode%20%3E%20499")
        assert (status, problem["code"]) == (400, "filter")
        assert (problem["line"], problem["column"]) == (1, 9)
        assert problem["hint"] == "did you mean status_code?"
        assert problem["excerpt"] == "http && statuscode > 499\n        ^"

    talk(conversation)


def test_completion_gets_every_variable() -> None:
    async def conversation(hub: Running) -> None:
        _, told = await hub.get("/api/filter")
        rows = {row["name"]: row for row in told["variables"]}
        assert len(rows) > 100
        assert rows["dst.port"]["type"] == "int"
        assert rows["dst.port"]["meaning"]

    talk(conversation)


def test_completion_gets_every_function_with_its_signatures() -> None:
    async def conversation(hub: Running) -> None:
        _, told = await hub.get("/api/filter")
        (row,) = [row for row in told["functions"] if row["name"] == "startsWith"]
        assert row == {
            "name": "startsWith",
            "kind": "method",
            "of": "string",
            "takes": ["string"],
            "gives": "bool",
            "signature": "string.startsWith(string) -> bool",
            "meaning": "begins with this text",
        }

    talk(conversation)


@pytest.mark.parametrize("query", ["%00", "%ff%fe", "(" * 5000, "http" * 3000, "%0d%0aSet-Cookie:x", "\\", "q&q=2"])
def test_a_filter_of_any_characters_gets_an_answer(query: str) -> None:
    async def conversation(hub: Running) -> None:
        status, problem = await hub.get(f"/api/filter?q={query}")
        assert (status, problem["code"]) == (400, "filter")

    talk(conversation)


# Workers and health


def test_workers_are_shown_with_what_they_say_of_themselves() -> None:
    async def conversation(hub: Running) -> None:
        _, told = await hub.get("/api/workers")
        one, two, three = told["workers"]
        assert (one["node"], one["state"], one["figures"]["ledger"]["store_packets"]) == ("n1", "connected", 7)
        assert one["since"] == "2023-11-14T22:13:20.000000000Z"
        assert (two["state"], two["reason"], two["figures"]) == ("away", "no route to host", None)
        assert (three["figures"], three["figures_error"]) == (None, "too much to do")

    talk(
        conversation,
        FakeWorker("n1", {"status": capturing()}),
        FakeWorker("n2", state="away", reason="no route to host"),
        FakeWorker("n3", {"status": lambda params: Error(1, 1, "busy", "too much to do", "")}),
    )


def test_bytes_in_what_a_worker_says_do_not_break_the_answer() -> None:
    async def conversation(hub: Running) -> None:
        _, told = await hub.get("/api/workers")
        assert told["workers"][0]["figures"] == {"raw": "AP8=", "deep": [{"x": None}]}

    talk(conversation, FakeWorker("n1", {"status": lambda params: {"raw": b"\0\xff", "deep": [{"x": None}]}}))


def test_however_many_ask_a_worker_is_asked_once_a_while() -> None:
    worker = FakeWorker("n1", {"status": capturing()})

    async def main() -> None:
        async with running(worker, limits=replace(DEFAULT, status_age=3600.0)) as hub:
            await asyncio.gather(*(hub.get("/api/workers") for _ in range(20)))
            await hub.get("/readyz")
            assert worker.asked == [("status", {})]

    asyncio.run(main())


def test_alive_is_not_ready_and_ready_says_why_not() -> None:
    idle, away = FakeWorker("n1", {"status": lambda params: {"capturing": False}}), FakeWorker("n2", state="away")
    away.reason = "connection refused"

    async def conversation(hub: Running) -> None:
        assert (await hub.get("/healthz"))[0] == 200
        status, told = await hub.get("/readyz")
        assert (status, told["ready"], told["connected"], told["capturing"]) == (503, False, 1, 0)
        assert [row["reason"] for row in told["workers"]] == ["not capturing", "connection refused"]

    talk(conversation, idle, away)


def test_a_hub_without_workers_is_alive_and_not_ready() -> None:
    async def conversation(hub: Running) -> None:
        assert (await hub.get("/healthz"))[0] == 200
        status, told = await hub.get("/readyz")
        assert (status, told["workers"]) == (503, [])

    talk(conversation)


def test_a_name_that_dns_does_not_know_is_told() -> None:
    async def conversation(hub: Running) -> None:
        hub.links.unresolved["workers.svc"] = "Name or service not known"
        for path in ("/readyz", "/api/workers"):
            assert (await hub.get(path))[1]["unresolved"] == {"workers.svc": "Name or service not known"}

    talk(conversation)


def test_every_refusal_is_a_problem_document() -> None:
    async def conversation(hub: Running) -> None:
        for method, path, status in (
            ("GET", "/api/nothing", 404),
            ("DELETE", "/api/config", 405),
            ("GET", "/api/filter?q=(", 400),
            ("PATCH", "/api/config", 415),
        ):
            async with hub.client.request(method, hub.url + path) as answer:
                problem = await answer.json(content_type="application/problem+json")
                assert answer.status == problem["status"] == status
                assert problem["type"] == "about:blank"
                assert problem["title"]
                assert problem["detail"]
        async with hub.client.delete(hub.url + "/api/config") as answer:
            assert answer.headers["Allow"] == "GET,HEAD,PATCH"

    talk(conversation)


def worker() -> FakeWorker:
    """One that takes every configuration."""

    def configure(params: JSON) -> object:
        return {"version": params["config"]["version"], "accepted": True, "reason": "", "effective": {}}

    return FakeWorker("n1", {"status": capturing(), "configure": configure, "config": lambda params: {"config": {}}})


# The document


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_every_route_is_in_the_document_and_the_document_has_no_others() -> None:
    async def conversation(hub: Running) -> None:
        _, served = await hub.get("/api/openapi.json")
        written = {
            (method.upper(), path)
            for path, item in served["paths"].items()
            for method in item
            if method != "parameters"
        }
        server = hub.server._runner.app
        routes = {(route.method, str(route.resource.canonical)) for route in server.router.routes() if route.resource}
        assert written == {route for route in routes if route[0] != "HEAD"}

    talk(conversation)


def test_every_operation_has_a_name_of_its_own_and_says_how_it_may_fail() -> None:
    names = []
    for item in document()["paths"].values():  # type: ignore[attr-defined]
        for operation in item.values():
            names.append(operation["operationId"])
            assert operation["summary"].endswith(".")
            assert set(COMMON) <= set(operation["responses"])
    assert len(names) == len(set(names))


@contextlib.contextmanager
def hub_in_a_thread(worker: FakeWorker, limits: HubLimits) -> Iterator[Running]:
    """For a client that blocks; everybody needs the token."""
    ready, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def main() -> None:
        async with running(worker, limits=limits, abroad=True) as hub:
            found[:] = [hub, asyncio.get_running_loop()]
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield found[0]
    finally:
        found[1].call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)


WEBSOCKETS = {"/api/link", "/api/entries"}
CHECKS = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.ignored_auth,
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_no_request_that_the_document_allows_or_forbids_breaks_the_hub(mode: GenerationMode) -> None:
    """schemathesis makes some up: no 5xx, and nothing that the document does not tell of."""
    schema = schemathesis.openapi.from_dict(document())
    tried = set()
    limits = replace(DEFAULT, rate=1e6, burst=10**6, wrong_token_rate=1e6, wrong_tokens=10**6)
    with hub_in_a_thread(worker(), limits) as hub:
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            if operation.path in WEBSOCKETS:
                continue

            @settings(max_examples=5, derandomize=True, deadline=None, database=None,
                      suppress_health_check=list(HealthCheck),
                      phases=[Phase.explicit, Phase.generate])  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def probe(case: schemathesis.Case[Any]) -> None:
                tried.add(case.operation.label)
                case.call_and_validate(
                    base_url=hub.url,
                    headers={"Authorization": f"Bearer {TOKEN}"},
                    checks=list(CHECKS),
                    allow_redirects=False,
                )

            # What takes nothing can be given nothing that is forbidden.
            with contextlib.suppress(Unsatisfiable):
                probe()
        assert hub.told == []
    assert tried >= {"GET /api/filter", "PATCH /api/config"}
