// What arrives, on its way to the rows: a few milliseconds of it each frame, so that the page stays smooth.
//
// Each call is unpacked once, for those who listen; rows keep the bytes. While rows are held still (paused, or a person
// looks at rows that would fall out) calls wait in a ring of their own, with its bounds.
import type { Summary } from "../entry";
import type { Batch } from "./messages";
import { Chunk, MOST, type Packed, type Put, Ring, type Seen, unpacked } from "./ring";

export type Where = "below" | "above";

/** Milliseconds of each frame; more where much waits. */
const BUDGET = 4;
const BUDGET_BEHIND = 7;
const BEHIND = 5_000;
/** Calls between two looks at the clock. */
const STEP = 32;
/** Bytes of calls that wait while rows are held still. */
const WAITING_BYTES = 64 * 2 ** 20;

/** The newest rows among which may be calls that live has not told yet: it is a few seconds behind at most. */
const LATEST = 2_000;
/** In the queue, where a page ends. */
const SETTLE = () => {};

interface Parcel {
  batch: Batch;
  where: Where;
  lengths: DataView;
  of: DataView;
  chunk: Chunk;
  count: number;
  at: number; // how many are taken
  offset: number;
}

export interface Taken {
  calls: Seen[];
  /** Further: rows or counts changed. */
  changed: boolean;
}

export class Intake {
  readonly ring: Ring;
  readonly waiting: Ring;
  /** Calls that came, each revision once; those that were known are not counted. */
  received = 0;
  /** Of those, revisions of calls that are there: they took the place of another. */
  revised = 0;
  /** Calls that came while there was no room for them above. */
  refused = 0;
  /** Calls that came below, new ones and revisions, however known they were. */
  arrived = 0;
  /** Of what came above the last timestamp, of what came below the latest. */
  lastAbove = "";
  newestBelow = "";
  #held = false;
  /** Of what came above, calls that ended after everything below: they belong there, once the page is here. */
  #newer: { call: Packed; summary: Summary }[] = [];
  #doneBelow = "";
  /** Rows that were emptied before live told them, at most LATEST of each ring: from below they do not come again. */
  #cleared = new Set<string>();
  #queue: (Parcel | (() => void))[] = [];
  #queued = 0;
  #dropped = 0;

  constructor(ring = new Ring(), waiting = new Ring(MOST, WAITING_BYTES)) {
    this.ring = ring;
    this.waiting = waiting;
  }

  /** Calls that fell out, wherever they were. received == revised + kept + waiting + evicted, always. */
  get evicted(): number {
    return this.ring.evicted + this.waiting.evicted + this.#dropped;
  }

  get idle(): boolean {
    return this.#queue.length === 0 && (this.#held || this.waiting.count === 0);
  }

  hold(held: boolean): void {
    this.#held = held;
  }

  get held(): boolean {
    return this.#held;
  }

  take(batch: Batch, where: Where): void {
    const lengths = new DataView(batch.lengths.buffer, batch.lengths.byteOffset, batch.lengths.byteLength);
    const of = new DataView(batch.of.buffer, batch.of.byteOffset, batch.of.byteLength);
    const chunk = new Chunk(batch.entries);
    const count = lengths.byteLength / 4;
    this.#queue.push({ batch, where, lengths, of, chunk, count, at: 0, offset: 0 });
    this.#queued += count;
    while (this.#queued > MOST && this.#dropOldest());
  }

  /** A page that came above is complete. */
  pageEnds(): void {
    this.#queue.push(SETTLE);
  }

  /** After what came before it. */
  afterwards(action: () => void): void {
    this.#queue.push(action);
  }

  /** Some of what is there, as long as there is time by `now()`. */
  flush(now: () => number): Taken {
    const calls: Seen[] = [];
    const end = now() + (this.#queued > BEHIND ? BUDGET_BEHIND : BUDGET);
    let changed = this.#release(now, end);
    while (this.#queue.length) {
      const next = this.#queue[0];
      if (typeof next === "function") {
        this.#queue.shift();
        if (next === SETTLE)
          for (const one of this.#newer.splice(0).reverse()) this.#place(one.call, one.summary, "below", calls);
        next();
        changed = true;
        continue;
      }
      if (!next) break;
      changed = true;
      for (let step = 0; step < STEP && next.at < next.count; step++) this.#one(next, calls);
      if (next.at >= next.count) this.#queue.shift();
      if (now() >= end) break;
    }
    return { calls, changed };
  }

  /** Empty it; what the rows showed does not come again from below. */
  clearRows(): void {
    const cleared = new Set<string>();
    for (const ring of [this.ring, this.waiting])
      for (let row = ring.end - 1; row >= Math.max(ring.first, ring.end - LATEST); row--) {
        const { completed, id } = ring.at(row)?.summary ?? {};
        if (id && completed && completed > this.#doneBelow) cleared.add(id);
      }
    this.clear();
    this.#cleared = cleared;
  }

  clear(): void {
    this.#cleared.clear();
    this.#queue = [];
    this.#queued = this.#dropped = this.received = this.revised = this.refused = this.arrived = 0;
    this.lastAbove = this.newestBelow = this.#doneBelow = "";
    this.#newer = [];
    this.ring.clear();
    this.waiting.clear();
  }

  #one(parcel: Parcel, calls: Seen[]): void {
    const { batch, chunk, at } = parcel;
    const length = parcel.lengths.getUint32(at * 4, true);
    const nodes = batch.nodes[parcel.of.getUint16(at * 2, true)] ?? [];
    const call: Packed = { chunk, start: parcel.offset, length, number: batch.first + at, nodes };
    parcel.at++;
    parcel.offset += length;
    this.#queued--;
    const summary = unpacked(call);
    // The hub tells live calls a little later than they can be asked for: of those history is first to tell.
    const isNewer = this.#doneBelow !== "" && (summary.completed ?? "") > this.#doneBelow;
    if (parcel.where === "below") {
      if (!this.#cleared.has(summary.id)) this.#place(call, summary, "below", calls);
    } else {
      this.lastAbove = summary.timestamp;
      if (isNewer) this.#newer.push({ call, summary });
      else this.#place(call, summary, "above", calls);
    }
  }

  #place(call: Packed, summary: Summary, where: Where, calls: Seen[]): void {
    const put = this.#put(call, summary, where);
    if (put === "full") this.refused++;
    if (put === "known" || put === "full") return;
    this.received++;
    if (put === "replaced") this.revised++;
    calls.push({ summary, nodes: call.nodes });
  }

  #put(call: Packed, summary: Summary, where: Where): Put {
    if (where === "above") {
      return this.waiting.positionOf(summary.id) === null ? this.ring.putBefore(call, summary) : "known";
    }
    this.arrived++;
    if (summary.timestamp > this.newestBelow) this.newestBelow = summary.timestamp;
    if (summary.completed && summary.completed > this.#doneBelow) this.#doneBelow = summary.completed;
    if (!this.#held && this.waiting.count === 0) return this.ring.put(call, summary);
    // A call that is there is revised where it is, also while rows are held.
    return this.ring.positionOf(summary.id) === null ? this.waiting.put(call, summary) : this.ring.put(call, summary);
  }

  /** What waited goes below the rows, in its order. */
  #release(now: () => number, end: number): boolean {
    if (this.#held || this.waiting.count === 0) return false;
    let before: Chunk | null = null;
    let after = new Chunk(new Uint8Array());
    for (let step = 1; ; step++) {
      const call = this.waiting.shift();
      if (!call) return true;
      if (call.chunk !== before) {
        before = call.chunk;
        after = new Chunk(before.bytes);
      }
      const moved = { ...call, chunk: after };
      this.ring.put(moved, unpacked(moved));
      if (step % STEP === 0 && now() >= end) return true;
    }
  }

  #dropOldest(): boolean {
    const place = this.#queue.findIndex((one) => typeof one !== "function");
    const parcel = this.#queue[place];
    if (!parcel || typeof parcel === "function" || this.#queue.length === 1) return false;
    const dropped = parcel.count - parcel.at;
    this.#queue.splice(place, 1);
    this.#queued -= dropped;
    this.#dropped += dropped;
    this.received += dropped;
    return true;
  }
}
