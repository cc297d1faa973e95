// What a connection's sequence numbers are counted from, so that people read 1 where the wire has 3735928559.
//
// As Wireshark does: from the SYN; without one from the byte before the first that is seen, so that it is 1.
import { type Facts, FLAGS } from "./terms";
import type { Bases } from "./transport";

/** Directions that are remembered; a call's packets have two. */
const MOST = 10_000;

export class Sequences {
  private readonly firsts = new Map<string, number>();

  /** Of a packet, in the order of the capture; null where it is no TCP. */
  bases(facts: Facts): Bases | null {
    if (facts.tcp === null) return null;
    const { seq, ack, flags } = facts.tcp;
    const from = `${facts.src} ${facts.srcPort}`;
    const to = `${facts.dst} ${facts.dstPort}`;
    const [there, back] = [`${from} ${to}`, `${to} ${from}`];
    if (flags & FLAGS.SYN) this.set(there, seq);
    const mine = this.firsts.get(there) ?? this.set(there, (seq - 1) >>> 0);
    const other = this.firsts.get(back) ?? (flags & FLAGS.ACK ? this.set(back, (ack - 1) >>> 0) : ack);
    return { seq: mine, ack: other };
  }

  private set(direction: string, first: number): number {
    if (this.firsts.size < MOST || this.firsts.has(direction)) this.firsts.set(direction, first);
    return first;
  }
}
