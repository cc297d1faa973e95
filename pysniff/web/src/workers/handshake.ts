// Whether captured packets hold the beginning of TLS: a record of a handshake with a ClientHello (RFC 8446 §5.1, §4).

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const LOOKED_AT = 65_536; // bytes from the beginning

/** Looks for 16 03 0x LL LL 01 00 LL LL 03 0x, with lengths that go together: other traffic does not have that. */
export function hasHandshake(file: Uint8Array): boolean {
  const last = Math.min(file.length, LOOKED_AT) - 11;
  for (let at = 0; at <= last; at++) {
    if (file[at] !== HANDSHAKE || file[at + 1] !== 3 || file[at + 5] !== CLIENT_HELLO) continue;
    const record = number(file, at + 3);
    const message = (file[at + 6] ?? 0) * 65_536 + number(file, at + 7);
    // A ClientHello may go on in a further record; the first then is full.
    const fits = message + 4 === record || (message + 4 > record && record >= 64);
    if (fits && file[at + 9] === 3 && (file[at + 10] ?? 9) <= 4) return true;
  }
  return false;
}

function number(file: Uint8Array, at: number): number {
  return (file[at] ?? 0) * 256 + (file[at + 1] ?? 0);
}
