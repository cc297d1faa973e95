"""The filter variables of TLS: of handshakes (`tlsx_`), and of what was read out of TLS (`tls_`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysniff.kfl.entry_variables import FLAGS, flag
from pysniff.kfl.schema import Variable
from pysniff.kfl.types import BOOL, INT, STRING, ListType
from pysniff.message import printable
from pysniff.tls.messages import TlsAnswer, TlsHello

if TYPE_CHECKING:
    from pysniff.entry import Entry

TLS = "TLS"


def _is_read(entry: Entry) -> bool:
    return entry.tls is not None


def _version(entry: Entry) -> str:
    return entry.tls.version if entry.tls is not None else ""


def _summary(entry: Entry) -> str:
    tls = entry.tls
    if tls is None:
        return ""
    version = f"TLS {tls.version}" if tls.version else ""
    return printable(" ".join(part for part in (version, tls.cipher_suite, tls.alpn, tls.sni) if part))


def _info(entry: Entry) -> str:
    tls = entry.tls
    if tls is None:
        return ""
    facts = (
        f"key: {tls.key_source}",
        f"JA4 {tls.ja4}" if tls.ja4 else "",
        "resumed" if tls.resumed else "",
        "early data" if tls.early_data else "",
    )
    return ", ".join(fact for fact in facts if fact)


def _request_size(entry: Entry) -> int:
    request = entry.carried_request
    return request.size if entry.tls is not None and request is not None else 0


def _response_size(entry: Entry) -> int:
    response = entry.carried_response
    return response.size if entry.tls is not None and response is not None else 0


def _total_size(entry: Entry) -> int:
    return _request_size(entry) + _response_size(entry)


def _hello(entry: Entry) -> TlsHello | None:
    request = entry.request
    return request if isinstance(request, TlsHello) else None


def _answer(entry: Entry) -> TlsAnswer | None:
    response = entry.response
    return response if isinstance(response, TlsAnswer) else None


def _sni(entry: Entry) -> str:
    hello = _hello(entry)
    return hello.sni if hello is not None else ""


def _alpn(entry: Entry) -> str:
    answer = _answer(entry)
    return answer.alpn if answer is not None else ""


def _agreed_version(entry: Entry) -> str:
    answer = _answer(entry)
    return answer.version if answer is not None else ""


def _cipher_suite(entry: Entry) -> str:
    answer = _answer(entry)
    return answer.cipher_suite if answer is not None else ""


def _cipher_suites(entry: Entry) -> list[str]:
    hello = _hello(entry)
    return hello.cipher_suites if hello is not None else []


def _ja3(entry: Entry) -> str:
    hello = _hello(entry)
    return hello.ja3 if hello is not None else ""


def _ja3s(entry: Entry) -> str:
    answer = _answer(entry)
    return answer.ja3s if answer is not None else ""


def _ja4(entry: Entry) -> str:
    hello = _hello(entry)
    return hello.ja4 if hello is not None else ""


def _handshake(entry: Entry) -> str:
    hello, answer = _hello(entry), _answer(entry)
    return "; ".join(message.summary for message in (hello, answer) if message is not None and message.summary)


def _outcome(entry: Entry) -> str:
    answer = _answer(entry)
    if answer is None:
        return ""
    facts = (
        f"key: {answer.key_source}" if answer.key_source else "",
        f"not decrypted: {answer.not_decrypted}" if answer.not_decrypted else "",
        f"alert {answer.alert} of the {answer.alert_from}" if answer.alert else "",
        "resumed" if answer.resumed else "",
        "retried" if answer.retried else "",
        "early data" if answer.early_data else "",
    )
    return printable(", ".join(fact for fact in facts if fact))


VARIABLES = (
    Variable("tls", BOOL, "read out of TLS", FLAGS, _is_read),
    Variable("tlsx", BOOL, "a handshake of TLS", FLAGS, flag("tlsx")),
    Variable("tls_version", STRING, "version of the TLS that it was read out of: 1.0 to 1.3", TLS, _version),
    Variable("tls_summary", STRING, "its version, cipher suite, protocol and server name", TLS, _summary),
    Variable("tls_info", STRING, "where the key came from, JA4, whether it was resumed", TLS, _info),
    Variable("tls_request_size", INT, "bytes of the request inside TLS", TLS, _request_size),
    Variable("tls_response_size", INT, "bytes of the response inside TLS", TLS, _response_size),
    Variable("tls_total_size", INT, "bytes of both", TLS, _total_size),
    Variable("tlsx_sni", STRING, "the server name that the client asked for", TLS, _sni),
    Variable("tlsx_alpn", STRING, "the protocol agreed on, as far as it can be read", TLS, _alpn),
    Variable("tlsx_version", STRING, "the version agreed on", TLS, _agreed_version),
    Variable("tlsx_cipher_suite", STRING, "the cipher suite agreed on", TLS, _cipher_suite),
    Variable("tlsx_cipher_suites", ListType(STRING), "those that the client offered", TLS, _cipher_suites),
    Variable("tlsx_ja3", STRING, "fingerprint of the client (JA3)", TLS, _ja3),
    Variable("tlsx_ja3s", STRING, "fingerprint of the server (JA3S)", TLS, _ja3s),
    Variable("tlsx_ja4", STRING, "fingerprint of the client (JA4)", TLS, _ja4),
    Variable("tlsx_summary", STRING, "what was asked for and what came of it", TLS, _handshake),
    Variable("tlsx_info", STRING, "where the key came from, why it is not decrypted, alerts", TLS, _outcome),
)
