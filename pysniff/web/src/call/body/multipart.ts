// The parts of a multipart body (RFC 2046 §5.1): each with its fields and its octets.
import type { Pair } from "../../entry";

const PARTS = 200;
const FIELDS = 50;
const FIELD_BYTES = 16 * 1024;

export interface Part {
  headers: Pair[];
  bytes: Uint8Array<ArrayBuffer>;
  /** Its end was not seen. */
  cut: boolean;
}

export interface Parts {
  parts: Part[];
  /** There are more than are shown. */
  more: boolean;
}

/** Null where the boundary is not in it. */
export function multipart(data: Uint8Array<ArrayBuffer>, boundary: string): Parts | null {
  if (!boundary || boundary.length > 200) return null;
  const mark = new TextEncoder().encode(`--${boundary}`);
  let at = next(data, mark, 0);
  if (at < 0) return null;
  const parts: Part[] = [];
  while (at >= 0) {
    let start = at + mark.length;
    if (data[start] === 0x2d && data[start + 1] === 0x2d) break; // "--" behind it is the end
    start = lineEnd(data, start);
    if (start < 0) break;
    if (parts.length === PARTS) return { parts, more: true };
    at = next(data, mark, start);
    parts.push(part(data, start, at));
  }
  return { parts, more: false };
}

function part(data: Uint8Array<ArrayBuffer>, start: number, next: number): Part {
  let end = next < 0 ? data.length : next;
  // The line end before a boundary belongs to the boundary.
  if (next >= 0 && data[end - 1] === 0x0a) end -= data[end - 2] === 0x0d ? 2 : 1;
  const headers: Pair[] = [];
  let at = start;
  while (at < end && headers.length < FIELDS) {
    const stop = lineEnd(data, at);
    const line = new TextDecoder()
      .decode(data.subarray(at, Math.min(stop < 0 ? end : stop, at + FIELD_BYTES)))
      .trimEnd();
    at = stop < 0 || stop > end ? end : stop;
    if (!line) break;
    const colon = line.indexOf(":");
    if (colon > 0) headers.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
  }
  return { headers, bytes: data.slice(Math.min(at, end), end), cut: next < 0 };
}

/** Where the mark begins next, at the beginning of a line; -1 where it does not. */
function next(data: Uint8Array, mark: Uint8Array, from: number): number {
  for (let at = from; ; at++) {
    at = data.indexOf(0x2d, at);
    if (at < 0 || at + mark.length > data.length) return -1;
    if (at > 0 && data[at - 1] !== 0x0a) continue;
    if (mark.every((byte, place) => data[at + place] === byte) && ends(data[at + mark.length])) return at;
  }
}

/** Whether a boundary may end there: "--cut" is not that of "--cutter". */
function ends(byte: number | undefined): boolean {
  return byte === undefined || byte === 0x2d || byte === 0x0d || byte === 0x0a || byte === 0x20 || byte === 0x09;
}

/** Behind the line end; -1 where there is none. */
function lineEnd(data: Uint8Array, from: number): number {
  const at = data.indexOf(0x0a, from);
  return at < 0 ? -1 : at + 1;
}

export function field(part: Part, name: string): string {
  return part.headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? "";
}
