"""What is known of the TLS that an entry was read out of."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(slots=True)
class Encryption:
    """One connection's; filled in as its handshake goes on, and complete before any answer can be read.

    `version`: 1.0 to 1.3. `cipher_suite`: its name at IANA. `alpn`: what was agreed on, `sni`: whom the client asked
    for; "" where nothing was. `ja3`, `ja3s`: MD5 in hexadecimal, `ja4`: of FoxIO. `resumed`: an earlier session's
    secret, or an external one, was used. `early_data`: the server took what the client sent ahead (0-RTT).
    `key_source`: keylog, pcapng, kernel, or plaintext where the bytes were read in the process itself; "" where
    nothing was decrypted.
    """

    version: str = ""
    cipher_suite: str = ""
    alpn: str = ""
    sni: str = ""
    ja3: str = ""
    ja3s: str = ""
    ja4: str = ""
    resumed: bool = False
    early_data: bool = False
    key_source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As docs/schema.json has it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
