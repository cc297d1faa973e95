"""Why application data cannot be read."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """`word`: of Undecoded, the same for like cases; `sentence`: for the entry, which says what to do."""

    word: str
    sentence: str


NO_KEY = Reason("encrypted, no key", "no key was given: name a key log with --keylog, or start with --tls")
NOT_THIS_KEY = Reason(
    "encrypted, no key", "there are keys, but none for this connection: its program does not log them"
)
NO_KEY_IN_TIME = Reason("encrypted, no key", "no key came in time: does the program write to this key log?")
NO_KERNEL_KEY = Reason(
    "encrypted, no key", "the kernel gave no key for this connection: pysniff doctor says which programs it can read"
)
HALF_A_KEY = Reason("encrypted, no key", "the key of one direction is missing: the key log is not whole")
# Sentences of those that a key would have opened.
NO_KEYS = frozenset(one.sentence for one in (NO_KEY, NOT_THIS_KEY, NO_KEY_IN_TIME, NO_KERNEL_KEY, HALF_A_KEY))
NO_HANDSHAKE = Reason(
    "encrypted, handshake not seen", "its handshake was not seen: the connection is older than the capture"
)
LOST_HANDSHAKE = Reason("encrypted, handshake not seen", "its handshake was not seen whole: packets are missing")
# Somebody who has the keys can read on.
KEYLESS = frozenset({NO_KEY, NOT_THIS_KEY, NO_KEY_IN_TIME, NO_KERNEL_KEY, HALF_A_KEY})
NO_SUITE = Reason(
    "encrypted, suite not supported", "this cipher suite is not supported: let the server choose one of AES"
)
NO_VERSION = Reason("encrypted, version not supported", "only TLS 1.0 to 1.3 are supported")
COMPRESSED = Reason("encrypted, compressed", "compression of TLS is not supported: switch it off in the server")
NO_PACKAGE = Reason("encrypted, no cryptography", "needs the package cryptography: pip install 'pysniff[tls]'")
WRONG_KEY = Reason("encrypted, wrong key", "its key does not fit: is the key log of this connection?")
BROKEN = Reason("encrypted, not authentic", "its records do not authenticate: the capture has changed them")
LOST = Reason("encrypted, lost count", "too much was lost to find out which record comes next")
RENEGOTIATED = Reason("encrypted, renegotiated", "its keys were negotiated anew, which is not followed")
REFUSED = Reason("early data, refused", "the server refused the early data")
EARLY = Reason("early data, no key", "there is no key for the early data")
HANDSHAKE = Reason("handshake, no key", "there is no key for its handshake")
