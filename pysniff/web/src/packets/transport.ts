// TCP (RFC 9293) with its options, UDP (RFC 768).
import { FLAGS, hex, type Layer, type Next, named, type Peeling } from "./terms";

const OPTIONS: Readonly<Record<number, string>> = {
  0: "end",
  1: "nothing",
  2: "MSS",
  3: "window scale",
  4: "SACK permitted",
  5: "SACK",
  8: "timestamps",
  14: "checksum",
  19: "MD5",
  28: "user timeout",
  29: "authentication",
  30: "multipath",
  34: "fast open",
};

/** What a capture's numbers are counted from, so that a connection begins at 0; the page finds out (sequence.ts). */
export interface Bases {
  seq: number;
  ack: number;
}

export function tcp(packet: Peeling, at: number, end: number, bases: Bases | null): Next | null {
  if (!packet.has(at, 20, end)) return packet.cut("TCP", at, end);
  const size = (packet.u8(at + 12) >> 4) * 4;
  const [from, to] = [packet.u16(at), packet.u16(at + 2)];
  const [seq, ack] = [packet.u32(at + 4), packet.u32(at + 8)];
  const flags = packet.u16(at + 12) & 0x1ff;
  const length = Math.max(0, end - at - size);
  const layer = packet.layer("TCP", at, Math.max(20, size));
  layer.value = `${from} → ${to} ${words(flags)}`;
  layer.field("Source port", from, at, 2);
  layer.field("Destination port", to, at + 2, 2);
  layer.field("Sequence number", bases ? `${relative(seq, bases.seq)} (relative), ${seq}` : seq, at + 4, 4);
  const has = (flags & FLAGS.ACK) !== 0;
  layer.field("Acknowledges", bases && has ? `${relative(ack, bases.ack)} (relative), ${ack}` : ack, at + 8, 4);
  layer.field("Header", `${size} bytes`, at + 12, 1);
  const field = layer.field("Flags", `${words(flags)} (${hex(flags, 3)})`, at + 12, 2);
  for (const [name, bit] of Object.entries(FLAGS)) {
    field.field(name, flags & bit ? "set" : "–", at + (bit < 256 ? 13 : 12), 1);
  }
  layer.field("Window", packet.u16(at + 14), at + 14, 2);
  layer.field("Checksum", hex(packet.u16(at + 16), 4), at + 16, 2);
  layer.field("Urgent pointer", packet.u16(at + 18), at + 18, 2);
  Object.assign(packet.facts, { protocol: "TCP", srcPort: from, dstPort: to });
  if (size < 20 || size > end - at) {
    layer.field("Malformed", `a header of ${size} bytes`, at + 12, 1);
    packet.facts.note = `malformed: a header of ${size} bytes`;
    return null;
  }
  options(packet, layer, at + 20, at + size, bases);
  packet.facts.tcp = { seq, ack, flags, window: packet.u16(at + 14), length };
  payload(packet, at + size, end);
  return null;
}

export function udp(packet: Peeling, at: number, end: number): Next | null {
  if (!packet.has(at, 8, end)) return packet.cut("UDP", at, end);
  const [from, to, length] = [packet.u16(at), packet.u16(at + 2), packet.u16(at + 4)];
  const layer = packet.layer("UDP", at, 8);
  layer.value = `${from} → ${to}`;
  layer.field("Source port", from, at, 2);
  layer.field("Destination port", to, at + 2, 2);
  layer.field("Length", length || "0: left to the network card", at + 4, 2);
  layer.field("Checksum", packet.u16(at + 6) ? hex(packet.u16(at + 6), 4) : "none", at + 6, 2);
  Object.assign(packet.facts, { protocol: "UDP", srcPort: from, dstPort: to });
  if (length !== 0 && length < 8) {
    layer.field("Malformed", "a length less than the header's", at + 4, 2);
    packet.facts.note = "malformed: a length less than the header's";
    return null;
  }
  // Of a datagram in parts the length says all of it, and this packet ends before.
  payload(packet, at + 8, length ? Math.min(end, at + length) : end);
  return null;
}

/** "PSH ACK", as the list shows it. */
export function words(flags: number): string {
  const set = Object.entries(FLAGS).filter(([, bit]) => flags & bit);
  return set.length ? set.map(([name]) => name).join(" ") : "no flags";
}

/** The distance of two sequence numbers, which wrap. */
export function relative(number: number, base: number): number {
  return (number - base) >>> 0;
}

function payload(packet: Peeling, at: number, end: number): void {
  const length = Math.max(0, end - at);
  // A header's options may have been cut off, too.
  const from = Math.min(at, packet.data.length);
  const to = Math.max(from, Math.min(end, packet.data.length));
  packet.facts.payload = { from, to, length };
  if (length === 0) return;
  const layer = packet.layer("Payload", from, to - from);
  layer.value = to - from === length ? `${length} bytes` : `${to - from} of ${length} bytes: the capture cut the rest`;
}

function options(packet: Peeling, layer: Layer, from: number, to: number, bases: Bases | null): void {
  let at = from;
  while (at < to) {
    const kind = packet.u8(at);
    const size = kind < 2 ? 1 : at + 1 < to ? packet.u8(at + 1) : 0;
    if (size === 0 || (kind > 1 && size < 2) || at + size > to || !packet.has(at, size, to)) {
      layer.field("Options", "malformed, or cut short", at, Math.max(0, Math.min(to, packet.data.length) - at));
      return;
    }
    layer.field("Option", option(packet, kind, at, size, bases), at, kind === 0 ? to - at : size);
    if (kind === 0) return;
    at += size;
  }
}

function option(packet: Peeling, kind: number, at: number, size: number, bases: Bases | null): string {
  const name = named(OPTIONS, kind).replace(/ \(\d+\)$/, "");
  if (kind === 2 && size === 4) return `${name} ${packet.u16(at + 2)}`;
  if (kind === 3 && size === 3) return `${name} ${packet.u8(at + 2)}: times ${2 ** Math.min(14, packet.u8(at + 2))}`;
  if (kind === 8 && size === 10) return `${name}: ${packet.u32(at + 2)}, echoes ${packet.u32(at + 6)}`;
  if (kind === 5 && size % 8 === 2) {
    // RFC 2018: edges in the numbers that are acknowledged.
    const edge = (where: number) => (bases ? relative(packet.u32(where), bases.ack) : packet.u32(where));
    const blocks = Array.from({ length: (size - 2) / 8 }, (_, number) => at + 2 + number * 8);
    return `${name} ${blocks.map((block) => `${edge(block)}–${edge(block + 4)}`).join(", ")}`;
  }
  return name;
}
