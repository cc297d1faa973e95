"""`/api/openapi.json`, from the files of openapi/: OpenAPI 3.1 in YAML, each with `paths` and `components` of its own.

hub.yaml is the root. Answers that any path may give are added to every operation here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import yaml
from aiohttp import hdrs, web

from pysniff import __version__
from pysniff.cluster.hub.hub import Hub

Tree = dict[str, object]
_ROOT = "hub.yaml"
# Refusals before any handler runs, and what ends it.
COMMON = ("400", "401", "403", "413", "415", "421", "429", "500")


def routes(_: Hub) -> list[web.RouteDef]:
    async def openapi(request: web.Request) -> web.StreamResponse:
        return web.Response(body=_encoded(), content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-cache"})

    return [web.get("/api/openapi.json", openapi)]


@cache
def document() -> Tree:
    """The whole document; raise ValueError where two files say the same thing, which is a mistake in them."""
    folder = files("pysniff.cluster.hub").joinpath("openapi")
    pages = {page.name: _map(yaml.safe_load(page.read_text("utf-8"))) for page in folder.iterdir()}
    whole = pages.pop(_ROOT)
    for name, page in sorted(pages.items()):
        _add(whole, page, name)
    _map(whole["info"])["version"] = __version__
    for operation in _operations(whole):
        responses = _map(operation["responses"])
        for status in COMMON:
            responses.setdefault(status, {"$ref": "#/components/responses/Problem"})
    return whole


@cache
def _encoded() -> bytes:
    return json.dumps(document()).encode()


def _add(whole: Tree, page: Tree, name: str) -> None:
    for key, value in page.items():
        present = whole.setdefault(key, value)
        if present is value:
            continue
        if not isinstance(present, dict) or not isinstance(value, dict):
            raise ValueError(f"openapi/{name}: {key} is said twice")
        _add(present, value, name)


def _operations(whole: Tree) -> Iterator[Tree]:
    for item in _map(whole["paths"]).values():
        for method, operation in _map(item).items():
            if method in ("get", "put", "post", "delete", "patch"):
                yield _map(operation)


def _map(value: object) -> Tree:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
