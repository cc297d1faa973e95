// Bytes as `xxd` writes them: offset, hexadecimal, and the printable ones of ASCII.

export function offset(at: number, digits = 8): string {
  return at.toString(16).padStart(digits, "0");
}

export function hex(bytes: Uint8Array, at: number, width: number): string {
  let line = "";
  for (let place = 0; place < width; place++) {
    if (place && place % 8 === 0) line += " ";
    const byte = bytes[at + place];
    line += byte === undefined ? "   " : `${byte.toString(16).padStart(2, "0")} `;
  }
  return line;
}

export function printable(bytes: Uint8Array, at: number, width: number): string {
  let line = "";
  for (let place = at; place < Math.min(at + width, bytes.length); place++) {
    const byte = bytes[place] as number;
    line += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·";
  }
  return line;
}
