// Takes a packet apart, layer by layer. Any bytes may come: what nobody knows, or is cut, is shown as bytes.
import { ipv4, ipv6 } from "./internet";
import { cooked, cooked2, ethernet, LINKTYPES, loopback, raw, vlan } from "./link";
import type { Packet } from "./pcapng";
import { type Facts, type Field, type Next, Peeling } from "./terms";
import { type Bases, tcp, udp } from "./transport";

/** Layers of one packet; tunnels and tags may lie in each other without end. */
const MOST = 24;

export interface Dissection {
  layers: Field[];
  facts: Facts;
}

export function dissect(packet: Pick<Packet, "data" | "wire" | "interface">, bases: Bases | null = null): Dissection {
  const peeling = new Peeling(packet.data);
  const end = Math.max(packet.wire, packet.data.length);
  const kind = LINKTYPES[packet.interface.linktype] ?? { unknown: `link type ${packet.interface.linktype}` };
  let next: Next | null = { kind, at: 0, end };
  let last = end;
  for (let depth = 0; next !== null; depth++) {
    const { kind, at, end }: Next = next;
    last = end;
    if (typeof kind === "object") next = bytes(peeling, kind.unknown, at, end);
    else if (depth >= MOST) next = bytes(peeling, "more layers", at, end);
    else next = peel(peeling, kind, at, end, bases);
  }
  // Ethernet fills short frames up; some switches add words of their own.
  if (last < packet.data.length) {
    const left = packet.data.length - last;
    peeling.layer("Trailer", last, left).value = `${left} bytes behind the end`;
  }
  return { layers: peeling.layers, facts: peeling.facts };
}

function peel(packet: Peeling, kind: Exclude<Next["kind"], object>, at: number, end: number, bases: Bases | null) {
  switch (kind) {
    case "ethernet":
      return ethernet(packet, at, end);
    case "vlan":
      return vlan(packet, at, end);
    case "cooked":
      return cooked(packet, at, end);
    case "cooked2":
      return cooked2(packet, at, end);
    case "null":
      return loopback(packet, at, end, true);
    case "loop":
      return loopback(packet, at, end, false);
    case "raw":
      return raw(packet, at, end);
    case "ipv4":
      return ipv4(packet, at, end);
    case "ipv6":
      return ipv6(packet, at, end);
    case "tcp":
      return tcp(packet, at, end, bases);
    case "udp":
      return udp(packet, at, end);
  }
}

function bytes(packet: Peeling, name: string, at: number, end: number): null {
  const size = Math.max(0, Math.min(end, packet.data.length) - at);
  packet.layer(name, at, size).value = `${size} bytes`;
  packet.facts.protocol = name;
  packet.facts.note ||= `${Math.max(0, end - at)} bytes`;
  return null;
}
