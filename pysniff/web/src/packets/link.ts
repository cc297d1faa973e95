// Link layers: Ethernet and its tags, Linux cooked capture, BSD loopback, raw IP (tcpdump.org/linktypes.html).
import { hex, type Kind, type Layer, type Next, named, type Peeling } from "./terms";

export const LINKTYPES: Readonly<Record<number, Kind>> = {
  0: "null",
  1: "ethernet",
  12: "raw",
  14: "raw",
  101: "raw",
  108: "loop",
  113: "cooked",
  228: "ipv4",
  229: "ipv6",
  276: "cooked2",
};

const TYPES: Readonly<Record<number, string>> = {
  2048: "IPv4",
  2054: "ARP",
  32821: "RARP",
  33024: "VLAN",
  34525: "IPv6",
  34824: "flow control",
  34825: "LACP",
  34887: "MPLS",
  34888: "MPLS",
  34915: "PPPoE discovery",
  34916: "PPPoE",
  34958: "EAPOL",
  34984: "VLAN",
  35020: "LLDP",
  37120: "VLAN",
};

/** AF_INET6 differs: Linux, Windows, NetBSD, FreeBSD, Darwin. */
const FAMILIES: Readonly<Record<number, Kind>> = {
  2: "ipv4",
  10: "ipv6",
  23: "ipv6",
  24: "ipv6",
  28: "ipv6",
  30: "ipv6",
};

const COOKED = ["to us", "broadcast", "multicast", "to another host", "sent by us"];

export function ethernet(packet: Peeling, at: number, end: number): Next | null {
  if (!packet.has(at, 14, end)) return packet.cut("Ethernet", at, end);
  const [to, from] = [mac(packet, at), mac(packet, at + 6)];
  const layer = packet.layer("Ethernet", at, 14);
  layer.value = `${from} → ${to}`;
  layer.field("Destination", to, at, 6);
  layer.field("Source", from, at + 6, 6);
  packet.facts.src = from;
  packet.facts.dst = to;
  return typed(packet, layer, at + 12, end);
}

export function vlan(packet: Peeling, at: number, end: number): Next | null {
  if (!packet.has(at, 4, end)) return packet.cut("VLAN", at, end);
  const tag = packet.u16(at);
  const layer = packet.layer("VLAN", at, 4);
  layer.value = String(tag & 0xfff);
  layer.field("Priority", tag >> 13, at, 2);
  layer.field("Drop eligible", (tag >> 12) & 1, at, 2);
  layer.field("VLAN", tag & 0xfff, at, 2);
  return typed(packet, layer, at + 2, end);
}

export function cooked(packet: Peeling, at: number, end: number): Next | null {
  if (!packet.has(at, 16, end)) return packet.cut("Linux cooked capture", at, end);
  const layer = packet.layer("Linux cooked capture", at, 16);
  layer.value = COOKED[packet.u16(at)] ?? String(packet.u16(at));
  layer.field("Packet", layer.value, at, 2);
  layer.field("ARPHRD", packet.u16(at + 2), at + 2, 2);
  layer.field("Length of the address", packet.u16(at + 4), at + 4, 2);
  sender(packet, layer, at + 6, packet.u16(at + 4));
  return typed(packet, layer, at + 14, end);
}

export function cooked2(packet: Peeling, at: number, end: number): Next | null {
  if (!packet.has(at, 20, end)) return packet.cut("Linux cooked capture v2", at, end);
  const layer = packet.layer("Linux cooked capture v2", at, 20);
  layer.value = COOKED[packet.u8(at + 10)] ?? String(packet.u8(at + 10));
  const type = packet.u16(at);
  layer.field("Protocol", named(TYPES, type, 4), at, 2);
  layer.field("Interface", packet.u32(at + 4), at + 4, 4);
  layer.field("ARPHRD", packet.u16(at + 8), at + 8, 2);
  layer.field("Packet", layer.value, at + 10, 1);
  layer.field("Length of the address", packet.u8(at + 11), at + 11, 1);
  sender(packet, layer, at + 12, packet.u8(at + 11));
  return { kind: kind(type), at: at + 20, end };
}

export function loopback(packet: Peeling, at: number, end: number, little: boolean): Next | null {
  if (!packet.has(at, 4, end)) return packet.cut("Loopback", at, end);
  // In the byte order of the machine that captured: families are small, so the other order shows.
  const read = packet.u32(at, little);
  const family = read > 0xffff ? packet.u32(at, !little) : read;
  const layer = packet.layer("Loopback", at, 4);
  layer.value = `family ${family}`;
  layer.field("Family", family, at, 4);
  return { kind: FAMILIES[family] ?? { unknown: `family ${family}` }, at: at + 4, end };
}

export function raw(packet: Peeling, at: number, end: number): Next | null {
  const version = packet.u8(at) >> 4;
  return { kind: version === 4 ? "ipv4" : version === 6 ? "ipv6" : { unknown: "no IP" }, at, end };
}

/** The type-or-length field (IEEE 802.3 §3.2.6) closes a header: up to 1500 it is the length of an LLC frame. */
function typed(packet: Peeling, layer: Layer, at: number, end: number): Next {
  const type = packet.u16(at);
  if (type >= 0x600) {
    layer.field("Type", named(TYPES, type, 4), at, 2);
    return { kind: kind(type), at: at + 2, end };
  }
  layer.field("Length", type, at, 2);
  return { kind: { unknown: "LLC" }, at: at + 2, end: Math.min(end, at + 2 + type) };
}

function kind(type: number): Kind {
  switch (type) {
    case 0x0800:
      return "ipv4";
    case 0x86dd:
      return "ipv6";
    case 0x8100:
    case 0x88a8:
    case 0x9100:
      return "vlan";
    default:
      return { unknown: TYPES[type] ?? `type ${hex(type, 4)}` };
  }
}

function sender(packet: Peeling, layer: Layer, at: number, size: number): void {
  const address = colons(packet.bytes(at, Math.min(size, 8)));
  if (address) {
    layer.field("Sender", address, at, Math.min(size, 8));
    packet.facts.src = address;
  }
}

function mac(packet: Peeling, at: number): string {
  return colons(packet.bytes(at, 6));
}

function colons(bytes: Uint8Array): string {
  return Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join(":");
}
