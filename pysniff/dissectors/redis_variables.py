"""The filter variables of Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysniff.dissectors.redis_messages import RedisCommand, RedisReply
from pysniff.kfl.schema import Variable
from pysniff.kfl.types import INT, STRING

if TYPE_CHECKING:
    from pysniff.entry import Entry

REDIS = "Redis"
_KEY = 64  # bytes of a key that are given


def _type(entry: Entry) -> str:
    response = entry.response
    return response.type if isinstance(response, RedisReply) else ""


def _command(entry: Entry) -> str:
    request = entry.request
    return request.command if isinstance(request, RedisCommand) else ""


def _key(entry: Entry) -> str:
    request = entry.request
    args = request.args[:1] if isinstance(request, RedisCommand) else ()
    return args[0][:_KEY].decode("utf-8", "backslashreplace") if args else ""


def _request_size(entry: Entry) -> int:
    request = entry.request
    return request.size if isinstance(request, RedisCommand) else 0


def _response_size(entry: Entry) -> int:
    response = entry.response
    return response.size if isinstance(response, RedisReply) else 0


def _total_size(entry: Entry) -> int:
    return _request_size(entry) + _response_size(entry)


VARIABLES = (
    Variable("redis_type", STRING, "of the reply: simple_string, bulk_string, integer, error, array ...", REDIS, _type),
    Variable("redis_command", STRING, "in upper case: GET, HSET ...", REDIS, _command),
    Variable("redis_key", STRING, "the first argument, up to 64 bytes", REDIS, _key),
    Variable("redis_request_size", INT, "bytes of the command", REDIS, _request_size),
    Variable("redis_response_size", INT, "bytes of the reply", REDIS, _response_size),
    Variable("redis_total_size", INT, "bytes of both", REDIS, _total_size),
)
