// The calls that are kept, in the order in which they are shown: as packed bytes, unpacked when somebody looks.
//
// A call has one row, by its id; a later revision takes the place of the one before. Rows have positions: whole numbers
// that stay, so that a row is found again while others come below and above. Beyond the bounds the topmost rows go.
import { Decoder } from "@msgpack/msgpack";
import type { Summary } from "../entry";
import { hashed, hashedNumber, Places } from "./places";

/** A call as it came. `nodes` are those that saw it by then. */
export interface Seen {
  summary: Summary;
  nodes: readonly string[];
}

/** The bytes of a batch, of which rows are parts. */
export class Chunk {
  rows = 0;
  constructor(readonly bytes: Uint8Array) {}
  get size(): number {
    return this.bytes.buffer.byteLength; // of the whole message: that is what stays
  }
}

/** One call in a chunk; `number` is the hub's. */
export interface Packed {
  chunk: Chunk;
  start: number;
  length: number;
  number: number;
  nodes: readonly string[];
}

export type Put = "added" | "replaced" | "known" | "full";

export const MOST = 100_000;
export const MOST_BYTES = 96 * 2 ** 20;
const UNPACKED = 512; // rows that are kept as objects

const decoder = new Decoder();

export function unpacked(call: Packed): Summary {
  return decoder.decode(call.chunk.bytes.subarray(call.start, call.start + call.length)) as Summary;
}

/** Whether a revision of a call says more than the one that is known. `later`: it is about what happened since. */
function supersedes(summary: Summary, known: Summary, later: boolean): boolean {
  const longer = (summary.completed ?? "") > (known.completed ?? "");
  if (known.state === "open") return summary.state === "closed" || later;
  // What history took for cut, where nobody recorded, goes on.
  if (summary.state === "open") return later && known.faults.length > 0;
  return longer;
}

export class Ring {
  /** Rows are those from `first` up to `end`, without it. */
  first = 0;
  end = 0;
  /** Rows that fell out. */
  evicted = 0;
  bytes = 0;
  readonly #rows: (Packed | undefined)[];
  readonly #open: Uint8Array;
  readonly #ids: Places;
  readonly #numbers: Places;
  readonly #unpacked = new Map<number, Seen>();

  constructor(
    readonly most = MOST,
    readonly mostBytes = MOST_BYTES,
  ) {
    this.#rows = new Array<Packed | undefined>(most).fill(undefined);
    this.#open = new Uint8Array(most);
    this.#ids = new Places(most);
    this.#numbers = new Places(most);
  }

  get count(): number {
    return this.end - this.first;
  }

  get full(): boolean {
    return this.count >= this.most || this.bytes >= this.mostBytes;
  }

  /** Below the others. `summary` is what the call holds. */
  put(call: Packed, summary: Summary): Put {
    const there = this.#slotOf(summary.id);
    if (there !== null) return this.#revise(there, call, summary, true);
    while (this.count >= this.most) this.evict();
    this.#fill(this.end++, call, summary);
    while (this.bytes > this.mostBytes && this.count > 1) this.evict();
    return "added";
  }

  /** Above the others, where there is room. It was asked for later than it happened: an open call here is newer. */
  putBefore(call: Packed, summary: Summary): Put {
    const there = this.#slotOf(summary.id);
    if (there !== null) return this.#revise(there, call, summary, false);
    if (this.full) return "full";
    this.#fill(--this.first, call, summary);
    return "added";
  }

  at(position: number): Seen | null {
    if (position < this.first || position >= this.end) return null;
    const kept = this.#unpacked.get(position);
    if (kept) return kept;
    const row = this.#rows[this.#slot(position)];
    if (!row) return null;
    const seen = { summary: unpacked(row), nodes: row.nodes };
    if (this.#unpacked.size >= UNPACKED) this.#unpacked.clear();
    this.#unpacked.set(position, seen);
    return seen;
  }

  positionOf(id: string): number | null {
    const slot = this.#slotOf(id);
    return slot === null ? null : this.#position(slot);
  }

  /** The call with the hub's number was seen on those nodes too. */
  also(number: number, nodes: readonly string[]): Seen | null {
    const slot = this.#numbers.find(hashedNumber(number), (place) => this.#rows[place]?.number === number);
    const row = slot === null ? undefined : this.#rows[slot];
    if (slot === null || !row) return null;
    row.nodes = [...new Set([...row.nodes, ...nodes])].sort();
    this.#unpacked.delete(this.#position(slot));
    return this.at(this.#position(slot));
  }

  /** Another hub counts from 1 again. */
  forgetNumbers(): void {
    for (const row of this.#rows) if (row) row.number = 0;
    this.#numbers.clear();
  }

  /** Those that are still open, from the top. */
  *open(): Generator<Seen> {
    for (let position = this.first; position < this.end; position++) {
      const seen = this.#open[this.#slot(position)] ? this.at(position) : null;
      if (seen) yield seen;
    }
  }

  /** Take the topmost row out, as it is packed. */
  shift(): Packed | undefined {
    const row = this.#rows[this.#slot(this.first)];
    if (row) this.#drop(this.first++);
    return row;
  }

  evict(): void {
    if (this.shift()) this.evicted++;
  }

  clear(): void {
    this.#rows.fill(undefined);
    this.#ids.clear();
    this.#numbers.clear();
    this.#unpacked.clear();
    this.first = this.end = this.evicted = this.bytes = 0;
  }

  #slot(position: number): number {
    const slot = position % this.most;
    return slot < 0 ? slot + this.most : slot;
  }

  #position(slot: number): number {
    return this.first + this.#slot(slot - this.first);
  }

  #slotOf(id: string): number | null {
    return this.#ids.find(hashed(id), (place) => this.at(this.#position(place))?.summary.id === id);
  }

  #fill(position: number, call: Packed, summary: Summary): void {
    const slot = this.#slot(position);
    this.#ids.add(hashed(summary.id), slot);
    this.#hold(slot, call, summary);
  }

  #hold(slot: number, call: Packed, summary: Summary): void {
    this.#rows[slot] = call;
    this.#open[slot] = summary.state === "open" ? 1 : 0;
    if (call.number) this.#numbers.add(hashedNumber(call.number), slot);
    if (call.chunk.rows++ === 0) this.bytes += call.chunk.size;
  }

  #revise(slot: number, call: Packed, summary: Summary, later: boolean): Put {
    const known = this.at(this.#position(slot))?.summary;
    if (known && !supersedes(summary, known, later)) return "known";
    this.#release(slot);
    this.#hold(slot, call, summary);
    this.#unpacked.delete(this.#position(slot));
    return "replaced";
  }

  #drop(position: number): void {
    const slot = this.#slot(position);
    this.#release(slot);
    this.#ids.remove(slot);
    this.#rows[slot] = undefined;
    this.#unpacked.delete(position);
  }

  #release(slot: number): void {
    const row = this.#rows[slot];
    if (!row) return;
    if (row.number) this.#numbers.remove(slot);
    if (--row.chunk.rows === 0) this.bytes -= row.chunk.size;
  }
}
