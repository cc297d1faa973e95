// What both ends of a connection said, in order of time, from its packets.
//
// Of each byte the first one that was captured counts. What is missing is a gap with its size, and nothing is glued
// over it; what came again is told where it came, and whether it said the same. Datagrams stay one by one.
import { type Facts, FLAGS } from "./terms";

export type Side = "client" | "server";

/** `packets` are numbers of those that carry it; `at` is the time of the packet that completed it. */
export type Piece =
  | { kind: "data"; side: Side; at: bigint | null; packets: number[]; bytes: Uint8Array; offset: number }
  | { kind: "gap"; side: Side; at: bigint | null; length: number; offset: number }
  | { kind: "again"; side: Side; at: bigint | null; packets: number[]; length: number; same: boolean; offset: number }
  | { kind: "event"; side: Side; at: bigint | null; packets: number[]; what: "SYN" | "FIN" | "RST" };

/** A packet of the conversation, in the order of the capture. */
export interface Said {
  number: number;
  time: bigint | null;
  side: Side;
  facts: Facts;
  data: Uint8Array;
}

export interface Conversation {
  pieces: Piece[];
  /** Bytes of data and of gaps, by side. */
  bytes: Record<Side, number>;
  missing: Record<Side, number>;
}

/** A stretch of one half that some packet was the first to carry. Positions count from the half's first byte. */
interface Stretch {
  from: number;
  bytes: Uint8Array;
  number: number;
  time: bigint | null;
  /** The place in the capture. */
  order: number;
}

interface Placed {
  order: number;
  piece: Piece;
}

/** The half of a TCP connection that one side sends. */
class Half {
  /** Sorted by position, and nowhere overlapping. */
  readonly stretches: Stretch[] = [];
  readonly others: Placed[] = [];
  /** The sequence number of position 0, and the last position that was met, from which the next one is near. */
  private base = 0;
  private last = 0;
  private begun = false;
  private synSeen = false;
  /** Where the half ends by what packets claim: of a packet that the capture cut, behind what is there. */
  private end = 0;

  constructor(readonly side: Side) {}

  add(said: Said, order: number): void {
    const { tcp, payload } = said.facts;
    if (tcp === null || payload === null) return;
    const syn = (tcp.flags & FLAGS.SYN) !== 0;
    // The SYN takes a number of its own (RFC 9293 §3.4).
    const seq = (tcp.seq + (syn ? 1 : 0)) >>> 0;
    if (!this.begun) {
      this.begun = true;
      this.base = seq;
    }
    const from = this.last + ((seq - this.base - this.last) | 0);
    if (syn) {
      if (!this.synSeen) this.event("SYN", said, order);
      this.synSeen = true;
    }
    // Keep-alives repeat the byte before; a number that is far off belongs to nothing that is here.
    if (payload.length > 0) {
      this.last = from;
      this.insert(from, said.data.subarray(payload.from, payload.to), said, order);
      this.end = Math.max(this.end, from + payload.length);
    }
    if (tcp.flags & FLAGS.FIN) this.event("FIN", said, order);
    if (tcp.flags & FLAGS.RST) this.event("RST", said, order);
  }

  /** Everything in order of position; each as early as everything before it was there. */
  placed(): Placed[] {
    const placed: Placed[] = [];
    let order = 0;
    let at: bigint | null = null;
    const first = this.stretches[0]?.from ?? this.end;
    // Without a SYN nobody knows what was before the first byte.
    let position = this.synSeen ? Math.min(0, first) : first;
    for (const stretch of this.stretches) {
      if (stretch.order >= order) [order, at] = [stretch.order, stretch.time];
      if (stretch.from > position) {
        placed.push({
          order,
          piece: { kind: "gap", side: this.side, at, length: stretch.from - position, offset: position },
        });
      }
      const { bytes, number, from } = stretch;
      placed.push({ order, piece: { kind: "data", side: this.side, at, packets: [number], bytes, offset: from } });
      position = from + bytes.length;
    }
    if (this.end > position) {
      placed.push({
        order,
        piece: { kind: "gap", side: this.side, at, length: this.end - position, offset: position },
      });
    }
    return placed;
  }

  private insert(from: number, bytes: Uint8Array, said: Said, order: number): void {
    const to = from + bytes.length;
    const { number, time } = said;
    let place = this.after(from);
    let position = from;
    let again = 0;
    let same = true;
    while (position < to) {
      const next = this.stretches[place];
      if (next !== undefined && next.from <= position) {
        const until = Math.min(to, next.from + next.bytes.length);
        same &&= equal(bytes.subarray(position - from, until - from), next.bytes.subarray(position - next.from));
        again += until - position;
        position = until;
        place += 1;
        continue;
      }
      const until = Math.min(to, next?.from ?? to);
      const part = bytes.subarray(position - from, until - from);
      this.stretches.splice(place, 0, { from: position, bytes: part, number, time, order });
      place += 1;
      position = until;
    }
    if (again === 0) return;
    const piece: Piece = {
      kind: "again",
      side: this.side,
      at: time,
      packets: [number],
      length: again,
      same,
      offset: from,
    };
    this.others.push({ order, piece });
  }

  /** The first stretch that ends behind this position. Most packets come in order, so it is sought from the end. */
  private after(position: number): number {
    let [low, high] = [0, this.stretches.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const one = this.stretches[middle] as Stretch;
      if (one.from + one.bytes.length > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private event(what: "SYN" | "FIN" | "RST", said: Said, order: number): void {
    this.others.push({ order, piece: { kind: "event", side: this.side, at: said.time, packets: [said.number], what } });
  }
}

export function reassemble(conversation: readonly Said[]): Conversation {
  const halves = { client: new Half("client"), server: new Half("server") };
  const datagrams: Placed[] = [];
  const offsets = { client: 0, server: 0 };
  conversation.forEach((said, order) => {
    const { facts, side, number, time } = said;
    if (facts.tcp !== null) halves[side].add(said, order);
    else if (facts.payload !== null) {
      const { from, to, length } = facts.payload;
      const bytes = said.data.subarray(from, to);
      datagrams.push({
        order,
        piece: { kind: "data", side, at: time, packets: [number], bytes, offset: offsets[side] },
      });
      offsets[side] += bytes.length;
      if (bytes.length === length) return;
      const piece: Piece = { kind: "gap", side, at: time, length: length - bytes.length, offset: offsets[side] };
      datagrams.push({ order, piece });
      offsets[side] += length - bytes.length;
    }
  });
  const all = Object.values(halves).flatMap((half) => [...half.placed(), ...half.others]);
  // Stable: what was placed at the same packet stays in its order.
  const pieces = [...all, ...datagrams].sort((one, other) => one.order - other.order).map((placed) => placed.piece);
  const bytes = { client: 0, server: 0 };
  const missing = { client: 0, server: 0 };
  for (const piece of pieces) {
    if (piece.kind === "data") bytes[piece.side] += piece.bytes.length;
    else if (piece.kind === "gap") missing[piece.side] += piece.length;
  }
  return { pieces, bytes, missing };
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}
