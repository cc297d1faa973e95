"""The filter variables of DNS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysniff.dissectors.dns_messages import DnsMessage, DnsResponse
from pysniff.kfl.schema import Variable
from pysniff.kfl.types import BOOL, INT, STRING, ListType

if TYPE_CHECKING:
    from pysniff.entry import Entry

DNS = "DNS"
_NAMES = ListType(STRING)


def _message(entry: Entry) -> DnsMessage | None:
    """The one whose question counts: the response repeats it."""
    message = entry.request or entry.response
    return message if isinstance(message, DnsMessage) else None


def _questions(entry: Entry) -> list[str]:
    message = _message(entry)
    return [] if message is None else [question.name for question in message.questions]


def _question_types(entry: Entry) -> list[str]:
    message = _message(entry)
    return [] if message is None else [question.type for question in message.questions]


def _answers(entry: Entry) -> list[str]:
    response = entry.response
    return [record.data for record in response.answers] if isinstance(response, DnsMessage) else []


def _has_request(entry: Entry) -> bool:
    return isinstance(entry.request, DnsMessage)


def _has_response(entry: Entry) -> bool:
    return isinstance(entry.response, DnsMessage)


def _request_length(entry: Entry) -> int:
    request = entry.request
    return len(request.wire) if isinstance(request, DnsMessage) else 0


def _response_length(entry: Entry) -> int:
    response = entry.response
    return len(response.wire) if isinstance(response, DnsMessage) else 0


def _total_size(entry: Entry) -> int:
    return _request_length(entry) + _response_length(entry)


def _status_code(entry: Entry) -> int:
    response = entry.response
    return response.rcode_number if isinstance(response, DnsResponse) else 0


VARIABLES = (
    Variable("dns_questions", _NAMES, "the names asked for", DNS, _questions),
    Variable("dns_answers", _NAMES, "the data of the answers: addresses, names, text", DNS, _answers),
    Variable("dns_question_types", _NAMES, "A, AAAA, MX ...", DNS, _question_types),
    Variable("dns_request", BOOL, "the query was seen", DNS, _has_request),
    Variable("dns_response", BOOL, "an answer was seen", DNS, _has_response),
    Variable("dns_request_length", INT, "bytes of the query", DNS, _request_length),
    Variable("dns_response_length", INT, "bytes of the answer", DNS, _response_length),
    Variable("dns_total_size", INT, "bytes of both", DNS, _total_size),
    Variable("status_code", INT, "of DNS the RCODE: 0 NOERROR, 3 NXDOMAIN", DNS, _status_code),
)
