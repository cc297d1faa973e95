"""Display filters on the command line: compiled, and where somebody wrote another program's, what to write here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pysniff.errors import FilterError

if TYPE_CHECKING:
    from pysniff.kfl.filter import Filter

# Fields of other languages that people know by heart, and what they are here: first Wireshark's.
_FIELDS = {
    "ip.src": "src.ip",
    "ip.dst": "dst.ip",
    "ipv6.src": "src.ip",
    "ipv6.dst": "dst.ip",
    "tcp.srcport": "src.port",
    "tcp.dstport": "dst.port",
    "udp.srcport": "src.port",
    "udp.dstport": "dst.port",
    "tcp.stream": "stream",
    "frame.time": "timestamp",
    "http.request": "http",
    "http.response": "http",
    "http.request.method": "method",
    "http.request.uri": "url",
    "http.request.uri.path": "path",
    "http.request.full_uri": "url",
    "http.host": "host",
    "http.user_agent": 'request.headers["user-agent"]',
    "http.cookie": 'request.headers["cookie"]',
    "http.content_type": 'response.headers["content-type"]',
    "http.response.code": "status_code",
    "http.time": "elapsed_time",
    "http2.headers.method": "method",
    "http2.headers.path": "url",
    "http2.headers.status": "status_code",
    "dns.qry.name": "dns_questions[0]",
    "dns.qry.type": "dns_question_types[0]",
    "dns.flags.rcode": "status_code",
    "websocket": "ws",
    # And of Kubeshark's first language, and of guesses by OpenTelemetry's names.
    "request.method": "method",
    "request.path": "path",
    "request.url": "url",
    "request.host": "host",
    "request.query": "query_string",
    "response.status": "status_code",
    "response.status_code": "status_code",
    "response.code": "status_code",
    "http.method": "method",
    "http.path": "path",
    "http.url": "url",
    "http.status": "status_code",
    "http.status_code": "status_code",
    "elapsedTime": "elapsed_time",
}
# Those that mean either end.
_ENDS = {
    **dict.fromkeys(("ip.addr", "ipv6.addr"), ("src.ip", "dst.ip")),
    **dict.fromkeys(("tcp.port", "udp.port"), ("src.port", "dst.port")),
}
_SIGNS = {"and": "&&", "or": "||", "not": "!", "eq": "==", "ne": "!=", "gt": ">", "lt": "<", "ge": ">=", "le": "<="}

_STRING = re.compile(r'("(?:[^"\\]|\\.)*")')
_WORD = re.compile(r"(?<![\w.])[a-z_][\w]*(?:\.[a-z_][\w]*)*(?![\w.(])")
_EITHER = re.compile(r"(?<![\w.])(ip\.addr|ipv6\.addr|tcp\.port|udp\.port)\s*(?:==|eq)\s*(\"[^\"]*\"|[\w.:]+)")
# `http.host contains "shop"` is a method here.
_METHOD = re.compile(r"(?<![\w.])([a-z_][\w.]*)\s+(contains|matches)\s+(\"(?:[^\"\\]|\\.)*\")")
_ADDRESS = re.compile(r"(?<=[=\s])(\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:]+)(?![\w.])")
_LONGEST = 1_000  # characters of a filter that is looked at for this


def display_filter(text: str) -> Filter:
    """Compile; raise FilterError that says what to write instead, where that is known."""
    from pysniff.kfl.variables import compile

    try:
        return compile(text)
    except FilterError as error:
        if hint := _meant_here(text) or _meant_for_capture(text):
            error.hint = hint
        raise


def hint_for_capture(bpf: str) -> str:
    """What to say of a capture filter that does not compile: perhaps it is a display filter."""
    if _compiles(bpf):
        return f"that is a display filter: -Y {_quoted(bpf)}"
    translated = _translated(bpf)
    if translated != bpf and _compiles(translated):
        return f"that is a display filter of Wireshark; here it is -Y {_quoted(translated)}"
    if known := _known_fields(bpf):
        return f"display filters go with -Y; {known}"
    return ""


def _meant_here(text: str) -> str:
    translated = _translated(text)
    if translated != text and _compiles(translated):
        return f"here that is {translated}"
    return _known_fields(text)


def _meant_for_capture(text: str) -> str:
    """Of a display filter: whether it is a capture filter."""
    from pysniff.capture.bpf import compile

    try:
        compile(text, 1)  # LINKTYPE_ETHERNET
    except FilterError:
        return ""
    return "that is a capture filter: give it with -f, or without an option"


def _compiles(text: str) -> bool:
    from pysniff.kfl.variables import compile

    try:
        compile(text)
    except FilterError:
        return False
    return True


def _known_fields(text: str) -> str:
    """The first field of Wireshark in it, and its name here."""
    for word in _WORD.findall(text[:_LONGEST]):
        if word in _ENDS:
            return f"{word} is {' or '.join(_ENDS[word])} here"
        if word in _FIELDS and "." in word:
            return f"{word} is {_FIELDS[word]} here"
    return ""


def _translated(text: str) -> str:
    """Wireshark's names, signs and bare addresses in the words of this language."""
    if len(text) > _LONGEST:
        return text
    text = _METHOD.sub(lambda found: f"{_FIELDS.get(found[1], found[1])}.{found[2]}({found[3]})", text)
    text = _EITHER.sub(_either, text)
    pieces = _STRING.split(text)
    for place in range(0, len(pieces), 2):
        piece = _ADDRESS.sub(r'"\1"', pieces[place])
        pieces[place] = _WORD.sub(lambda found: _SIGNS.get(found[0]) or _FIELDS.get(found[0]) or found[0], piece)
    return "".join(pieces)


def _either(found: re.Match[str]) -> str:
    source, target = _ENDS[found[1]]
    value = found[2] if found[2][0] == '"' or source.endswith("port") else f'"{found[2]}"'
    return f"({source} == {value} || {target} == {value})"


def _quoted(text: str) -> str:
    from shlex import quote

    return quote(text)
