// IPv4 (RFC 791) with its options, IPv6 (RFC 8200) with its extension headers.
import { ip } from "./ip";
import { hex, type Kind, type Layer, type Next, named, type Peeling } from "./terms";

const PROTOCOLS: Readonly<Record<number, string>> = {
  0: "hop-by-hop options",
  1: "ICMP",
  2: "IGMP",
  4: "IPv4",
  6: "TCP",
  17: "UDP",
  41: "IPv6",
  43: "routing",
  44: "fragment",
  47: "GRE",
  50: "ESP",
  51: "authentication",
  58: "ICMPv6",
  59: "nothing",
  60: "destination options",
  89: "OSPF",
  112: "VRRP",
  132: "SCTP",
  135: "mobility",
  139: "HIP",
  140: "Shim6",
};

const OPTIONS: Readonly<Record<number, string>> = {
  7: "record route",
  68: "timestamp",
  130: "security",
  131: "loose source route",
  136: "stream",
  137: "strict source route",
  148: "router alert",
};

/** Extension headers whose second byte says how many times 8 bytes follow the first 8; of AH, 4 and 8. */
const EXTENSIONS = new Set([0, 43, 51, 60, 135, 139, 140]);
const MOST_EXTENSIONS = 16;

export function ipv4(packet: Peeling, at: number, end: number): Next | null {
  const size = (packet.u8(at) & 15) * 4;
  if (!packet.has(at, 20, end)) return packet.cut("IPv4", at, end);
  if (packet.u8(at) >> 4 !== 4 || size < 20) return odd(packet, "IPv4", at, end, "malformed: its version or size");
  if (!packet.has(at, size, end)) return packet.cut("IPv4", at, end);
  const [from, to] = [ip(packet.bytes(at + 12, 4)), ip(packet.bytes(at + 16, 4))];
  const [total, part] = [packet.u16(at + 2), packet.u16(at + 6)];
  const offset = (part & 0x1fff) * 8;
  const protocol = packet.u8(at + 9);
  const layer = packet.layer("IPv4", at, size);
  layer.value = `${from} → ${to}`;
  layer.field("Version", 4, at, 1);
  layer.field("Header", `${size} bytes`, at, 1);
  service(layer, packet.u8(at + 1), at + 1, 1);
  layer.field("Total length", total || "0: left to the network card", at + 2, 2);
  layer.field("Identification", hex(packet.u16(at + 4), 4), at + 4, 2);
  const flags = [part & 0x4000 && "don't fragment", part & 0x2000 && "more fragments"].filter(Boolean).join(", ");
  layer.field("Flags", flags || "none", at + 6, 1);
  layer.field("Fragment offset", offset, at + 6, 2);
  layer.field("Time to live", packet.u8(at + 8), at + 8, 1);
  layer.field("Protocol", named(PROTOCOLS, protocol), at + 9, 1);
  layer.field("Checksum", hex(packet.u16(at + 10), 4), at + 10, 2);
  layer.field("Source", from, at + 12, 4);
  layer.field("Destination", to, at + 16, 4);
  options(packet, layer, at + 20, at + size);
  between(packet, "IPv4", from, to);
  const length = total >= size ? Math.min(end, at + total) : end;
  if (total !== 0 && total < size)
    return odd(packet, "Data", at + size, end, "the total length is less than the header");
  if (part & 0x3fff) packet.facts.fragment = true;
  return offset > 0 ? rest(packet, at + size, length, offset) : { kind: kind(protocol), at: at + size, end: length };
}

export function ipv6(packet: Peeling, at: number, end: number): Next | null {
  if (!packet.has(at, 40, end)) return packet.cut("IPv6", at, end);
  if (packet.u8(at) >> 4 !== 6) return odd(packet, "IPv6", at, end, "malformed: its version");
  const [from, to] = [ip(packet.bytes(at + 8, 16)), ip(packet.bytes(at + 24, 16))];
  const [word, length] = [packet.u32(at), packet.u16(at + 4)];
  const layer = packet.layer("IPv6", at, 40);
  layer.value = `${from} → ${to}`;
  layer.field("Version", 6, at, 1);
  service(layer, (word >>> 20) & 0xff, at, 2);
  layer.field("Flow label", hex(word & 0xfffff, 5), at + 1, 3);
  layer.field("Payload length", length || "0: a jumbogram, or left to the network card", at + 4, 2);
  layer.field("Next header", named(PROTOCOLS, packet.u8(at + 6)), at + 6, 1);
  layer.field("Hop limit", packet.u8(at + 7), at + 7, 1);
  layer.field("Source", from, at + 8, 16);
  layer.field("Destination", to, at + 24, 16);
  between(packet, "IPv6", from, to);
  return extensions(packet, layer, packet.u8(at + 6), at + 40, length ? Math.min(end, at + 40 + length) : end);
}

function extensions(packet: Peeling, layer: Layer, first: number, from: number, end: number): Next | null {
  let [header, at] = [first, from];
  for (let seen = 0; seen < MOST_EXTENSIONS; seen++) {
    if (header === 44) {
      if (!packet.has(at, 8, end)) return packet.cut("IPv6 fragment", at, end);
      const part = packet.u16(at + 2);
      const field = layer.field("Fragment", `offset ${part & 0xfff8}${part & 1 ? ", more follow" : ""}`, at, 8);
      field.field("Next header", named(PROTOCOLS, packet.u8(at)), at, 1);
      field.field("Offset", part & 0xfff8, at + 2, 2);
      field.field("More fragments", part & 1, at + 3, 1);
      field.field("Identification", hex(packet.u32(at + 4), 8), at + 4, 4);
      layer.to = at + 8;
      // RFC 6946: a fragment that is the whole datagram is none.
      if (part & 0xfff9) packet.facts.fragment = true;
      header = packet.u8(at);
      at += 8;
      if (part & 0xfff8) return rest(packet, at, end, part & 0xfff8);
    } else if (EXTENSIONS.has(header)) {
      const size = header === 51 ? (packet.u8(at + 1) + 2) * 4 : (packet.u8(at + 1) + 1) * 8;
      if (!packet.has(at, 2, end) || !packet.has(at, size, end)) return packet.cut("IPv6 extension", at, end);
      const field = layer.field("Extension", `${named(PROTOCOLS, header)}, ${size} bytes`, at, size);
      field.field("Next header", named(PROTOCOLS, packet.u8(at)), at, 1);
      field.field("Length", `${size} bytes`, at + 1, 1);
      layer.to = at + size;
      header = packet.u8(at);
      at += size;
    } else break;
  }
  return { kind: kind(header), at, end };
}

function options(packet: Peeling, layer: Layer, from: number, to: number): void {
  let at = from;
  while (at < to) {
    const code = packet.u8(at);
    // One byte each: the end of the list, and nothing.
    const size = code < 2 ? 1 : at + 1 < to ? packet.u8(at + 1) : 0;
    if (size === 0 || (code > 1 && size < 2) || at + size > to) {
      layer.field("Options", "malformed", at, to - at);
      return;
    }
    const name = code < 2 ? (code ? "nothing" : "end") : named(OPTIONS, code);
    layer.field("Option", name, at, code === 0 ? to - at : size);
    if (code === 0) return;
    at += size;
  }
}

/** A later part of a datagram: it has no header of what it carries. */
function rest(packet: Peeling, at: number, end: number, offset: number): null {
  const size = Math.max(0, Math.min(end, packet.data.length) - at);
  packet.layer("Fragment", at, size).value = `${size} bytes of a datagram, from ${offset} on`;
  packet.facts.note = `fragment at ${offset}, ${Math.max(0, end - at)} bytes`;
  return null;
}

function odd(packet: Peeling, name: string, at: number, end: number, why: string): null {
  packet.layer(name, at, Math.max(0, Math.min(end, packet.data.length) - at)).value = why;
  packet.facts.note = `${name} ${why}`;
  return null;
}

function between(packet: Peeling, protocol: string, from: string, to: string): void {
  Object.assign(packet.facts, { src: from, dst: to, protocol, srcPort: null, dstPort: null });
}

function service(layer: Layer, value: number, at: number, size: number): void {
  const ecn = ["not capable", "capable (1)", "capable (0)", "congestion"][value & 3] ?? "";
  const field = layer.field("Traffic class", hex(value, 2), at, size);
  field.field("DSCP", value >> 2, at, size);
  field.field("ECN", ecn, at, size);
}

function kind(protocol: number): Kind {
  switch (protocol) {
    case 4:
      return "ipv4";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    case 41:
      return "ipv6";
    default:
      return { unknown: PROTOCOLS[protocol] ?? `protocol ${protocol}` };
  }
}
