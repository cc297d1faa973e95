// Addresses as text.

/** An address of 4 or 16 bytes as text; of IPv6 as RFC 5952 wants it. */
export function ip(bytes: Uint8Array): string {
  if (bytes.length !== 16) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0));
  let [from, most] = [0, 1];
  for (let at = 0; at < 8; at++) {
    let zeros = 0;
    while (at + zeros < 8 && groups[at + zeros] === 0) zeros++;
    if (zeros > most) [from, most] = [at, zeros];
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (from === 0 && most === 5 && groups[5] === 0xffff) {
    return `::ffff:${bytes.subarray(12).join(".")}`;
  }
  return most > 1 ? `${text(groups.slice(0, from))}::${text(groups.slice(from + most))}` : text(groups);
}
