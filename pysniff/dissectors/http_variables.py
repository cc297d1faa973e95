"""The filter variables of HTTP, of any version, also where gRPC refines it. Each reads no more than it says.

What HTTP says is the same before a refinement and after it, so none is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pysniff.dissectors.http import Fields, HttpMessage, HttpRequest, HttpResponse
from pysniff.kfl.schema import Variable
from pysniff.kfl.types import BOOL, INT, STRING, MapType

if TYPE_CHECKING:
    from pysniff.entry import Entry

HTTP, FLAGS = "HTTP", "Protocol flags"
_FIELDS = MapType(STRING, STRING)
_NONE: Mapping[str, str] = {}


def joined(pairs: Fields) -> Mapping[str, str]:
    """Values by name; several of one name are joined with ", "."""
    values = dict(pairs)
    if len(values) < len(pairs):
        values.clear()
        for name, value in pairs:
            values[name] = f"{values[name]}, {value}" if name in values else value
    return values


def _message(entry: Entry) -> HttpMessage | None:
    message = entry.carried_request or entry.carried_response
    return message if isinstance(message, HttpMessage) else None


def _is_http(entry: Entry) -> bool:
    return isinstance(entry.carried_request or entry.carried_response, HttpMessage)


def _is_http1(entry: Entry) -> bool:
    message = _message(entry)
    return message is not None and message.version != "2"


def _is_http2(entry: Entry) -> bool:
    message = _message(entry)
    return message is not None and message.version == "2"


def _method(entry: Entry) -> str:
    request = entry.carried_request
    return request.method if isinstance(request, HttpRequest) else ""


def _url(entry: Entry) -> str:
    request = entry.carried_request
    return request.url if isinstance(request, HttpRequest) else ""


def _path(entry: Entry) -> str:
    request = entry.carried_request
    return request.path if isinstance(request, HttpRequest) else ""


def _host(entry: Entry) -> str:
    request = entry.carried_request
    return request.host if isinstance(request, HttpRequest) else ""


def _status_code(entry: Entry) -> int:
    response = entry.carried_response
    return response.status if isinstance(response, HttpResponse) else 0


def _version(entry: Entry) -> str:
    message = _message(entry)
    return "" if message is None else message.version


def _query(entry: Entry) -> Mapping[str, str]:
    request = entry.carried_request
    return joined(request.query) if isinstance(request, HttpRequest) else _NONE


def _request_headers(entry: Entry) -> Mapping[str, str]:
    request = entry.carried_request
    return request.index if isinstance(request, HttpMessage) else _NONE


def _response_headers(entry: Entry) -> Mapping[str, str]:
    response = entry.carried_response
    return response.index if isinstance(response, HttpMessage) else _NONE


def _request_cookies(entry: Entry) -> Mapping[str, str]:
    request = entry.carried_request
    return joined(request.cookies) if isinstance(request, HttpMessage) else _NONE


def _response_cookies(entry: Entry) -> Mapping[str, str]:
    response = entry.carried_response
    return joined(response.cookies) if isinstance(response, HttpMessage) else _NONE


def _request_body(entry: Entry) -> str:
    request = entry.carried_request
    return request.body.text if isinstance(request, HttpMessage) else ""


def _response_body(entry: Entry) -> str:
    response = entry.carried_response
    return response.body.text if isinstance(response, HttpMessage) else ""


def _request_headers_size(entry: Entry) -> int:
    request = entry.carried_request
    return request.headers_size if isinstance(request, HttpMessage) else 0


def _response_headers_size(entry: Entry) -> int:
    response = entry.carried_response
    return response.headers_size if isinstance(response, HttpMessage) else 0


def _request_body_size(entry: Entry) -> int:
    request = entry.carried_request
    return request.body.size if isinstance(request, HttpMessage) else 0


def _response_body_size(entry: Entry) -> int:
    response = entry.carried_response
    return response.body.size if isinstance(response, HttpMessage) else 0


def _request_encoded_size(entry: Entry) -> int:
    request = entry.carried_request
    return request.body.encoded_size if isinstance(request, HttpMessage) else 0


def _response_encoded_size(entry: Entry) -> int:
    response = entry.carried_response
    return response.body.encoded_size if isinstance(response, HttpMessage) else 0


VARIABLES = (
    Variable("http", BOOL, "any version of HTTP, and so gRPC too", FLAGS, _is_http),
    Variable("http1", BOOL, "HTTP/0.9 to HTTP/1.1", FLAGS, _is_http1),
    Variable("http2", BOOL, "HTTP/2", FLAGS, _is_http2),
    Variable("method", STRING, "GET, POST ...", HTTP, _method),
    Variable("url", STRING, "the target as sent: path and query", HTTP, _url),
    Variable("path", STRING, "of the target, without the query", HTTP, _path),
    Variable("host", STRING, "the Host field or :authority, else the target's", HTTP, _host),
    Variable("status_code", INT, "status of the response; 0 without one", HTTP, _status_code),
    Variable("http_version", STRING, "1.0, 1.1, 2", HTTP, _version),
    Variable("query_string", _FIELDS, "parameters of the query, percent-decoded", HTTP, _query),
    Variable("request.headers", _FIELDS, "by name in lower case", HTTP, _request_headers),
    Variable("response.headers", _FIELDS, "by name in lower case", HTTP, _response_headers),
    Variable("request.cookies", _FIELDS, "those that the client sent", HTTP, _request_cookies),
    Variable("response.cookies", _FIELDS, "those that the server set, without attributes", HTTP, _response_cookies),
    Variable("request.body", STRING, 'decoded text, "" for binary', HTTP, _request_body),
    Variable("response.body", STRING, 'decoded text, "" for binary', HTTP, _response_body),
    Variable("request_headers_size", INT, "bytes of the head as sent", HTTP, _request_headers_size),
    Variable("request_body_size", INT, "bytes of the body, content coding undone", HTTP, _request_body_size),
    Variable("response_headers_size", INT, "bytes of the head as sent", HTTP, _response_headers_size),
    Variable("response_body_size", INT, "bytes of the body, content coding undone", HTTP, _response_body_size),
    Variable("request_encoded_size", INT, "bytes of the body as sent", HTTP, _request_encoded_size),
    Variable("response_encoded_size", INT, "bytes of the body as sent", HTTP, _response_encoded_size),
)
