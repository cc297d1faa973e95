// A packet that passes two interfaces is captured on both, and is still one packet.
//
// The n-th of its kind on one interface is the n-th on another, as the hub's workers have it (docs/design.md): what is
// the second of its kind on one interface was really sent twice.
import type { Packet } from "./pcapng";
import type { Facts } from "./terms";

export class Copies {
  /** By kind: the numbers of the packets that were the first, the second ... of it on any interface. */
  private readonly firsts = new Map<string, number[]>();
  private readonly counts = new Map<string, number>();

  /** The packet of which this one is a copy on another interface; null where it is none. */
  of(packet: Packet, facts: Facts): number | null {
    const kind = kindOf(packet, facts);
    if (kind === null) return null;
    const here = `${packet.interface.name}\n${kind}`;
    const place = this.counts.get(here) ?? 0;
    this.counts.set(here, place + 1);
    const seen = this.firsts.get(kind) ?? [];
    const first = seen[place];
    if (first !== undefined) return first;
    this.firsts.set(kind, [...seen, packet.number]);
    return null;
  }
}

/** What stays the same on the way: neither addresses of links nor hops nor checksums. */
function kindOf(packet: Packet, facts: Facts): string | null {
  const { src, dst, srcPort, dstPort, tcp, payload } = facts;
  if (payload === null || facts.fragment) return null;
  const ends = `${src} ${srcPort} ${dst} ${dstPort}`;
  const said = new TextDecoder("latin1").decode(packet.data.subarray(payload.from, payload.to));
  return tcp ? `${ends} ${tcp.seq} ${tcp.ack} ${tcp.flags} ${tcp.window} ${said}` : `${ends} ${said}`;
}
