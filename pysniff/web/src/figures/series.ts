// Calls over time: a second's figures each for an hour, a minute's for a day, an hour's for six weeks.
//
// What leaves a level goes on to the coarser one; what is older than the last is counted as `older`.
import type { Call } from "./arrivals";
import { Histogram } from "./histogram";

const LEVELS = [
  { step: 1, size: 3_600 },
  { step: 60, size: 1_440 },
  { step: 3_600, size: 1_000 },
] as const;

/** Names of protocols come from dissectors, so they are few; what is beyond is counted with the last. */
const PROTOCOLS = 16;

/** The figures of some seconds. `errors` are not among `unanswered`. */
export class Bucket {
  calls = 0;
  errors = 0;
  unanswered = 0;
  open = 0;
  readonly protocols: number[] = [];
  readonly latency = new Histogram();

  constructor(
    readonly begin: number,
    readonly step: number,
  ) {}

  merge(other: Bucket): void {
    this.calls += other.calls;
    this.errors += other.errors;
    this.unanswered += other.unanswered;
    this.open += other.open;
    other.protocols.forEach((count, number) => {
      this.protocols[number] = (this.protocols[number] ?? 0) + (count ?? 0);
    });
    this.latency.merge(other.latency);
  }
}

class Level {
  readonly #ring: (Bucket | undefined)[];

  constructor(
    readonly step: number,
    readonly size: number,
    readonly coarser: Level | null,
  ) {
    this.#ring = new Array(size);
  }

  /** The bucket of a second, here or at a coarser level; null where it is too old for any. */
  at(second: number): Bucket | null {
    const number = Math.floor(second / this.step);
    const place = ((number % this.size) + this.size) % this.size;
    const here = this.#ring[place];
    const begin = number * this.step;
    if (here?.begin === begin) return here;
    if (here) {
      if (here.begin > begin) return this.coarser?.at(second) ?? null;
      this.coarser?.at(here.begin)?.merge(here);
    }
    const made = new Bucket(begin, this.step);
    this.#ring[place] = made;
    return made;
  }

  *[Symbol.iterator](): Iterator<Bucket> {
    for (const bucket of this.#ring) if (bucket) yield bucket;
  }
}

/** Figures of equal spans, in order; empty ones too. */
export interface Points {
  step: number;
  begins: number[];
  buckets: (Bucket | null)[];
}

export class Series {
  /** In the order in which they were first seen: Bucket.protocols has the counts. */
  readonly protocols: string[] = [];
  /** Calls too old for any level. */
  older = 0;
  readonly #levels: readonly Level[];

  constructor() {
    let coarser: Level | null = null;
    const levels: Level[] = [];
    for (const { step, size } of [...LEVELS].reverse()) {
      coarser = new Level(step, size, coarser);
      levels.unshift(coarser);
    }
    this.#levels = levels;
  }

  count(call: Call, by: 1 | -1): void {
    const bucket = (this.#levels[0] as Level).at(call.second);
    if (!bucket) {
      this.older += by;
      return;
    }
    bucket.calls += by;
    const protocol = this.#number(call.protocol);
    bucket.protocols[protocol] = (bucket.protocols[protocol] ?? 0) + by;
    if (call.kind === "open") bucket.open += by;
    else if (call.kind === "failed") bucket.errors += by;
    else if (call.kind === "unanswered") bucket.unanswered += by;
    // Only open calls are taken out again, and those have none.
    if (call.latency !== null && by > 0) bucket.latency.add(call.latency);
  }

  /** From one second to another, in at most `most` points of a round length. */
  points(begin: number, end: number, most: number): Points {
    const span = Math.max(1, end - begin + 1);
    const buckets = this.#levels.flatMap((level) => [...level]);
    const inside = buckets.filter((bucket) => bucket.begin <= end && bucket.begin + bucket.step > begin);
    const coarsest = inside.reduce((step, bucket) => Math.max(step, bucket.step), 1);
    const step = Math.max(coarsest, round(span / Math.max(1, most - 1)));
    const first = Math.floor(begin / step);
    const count = Math.floor(end / step) - first + 1;
    const found: (Bucket | null)[] = new Array(count).fill(null);
    for (const bucket of inside) {
      const place = Math.floor(bucket.begin / step) - first;
      if (place < 0 || place >= count || !bucket.calls) continue;
      found[place] ??= new Bucket((first + place) * step, step);
      found[place].merge(bucket);
    }
    return { step, begins: found.map((_, place) => (first + place) * step), buckets: found };
  }

  #number(protocol: string): number {
    const known = this.protocols.indexOf(protocol);
    if (known >= 0) return known;
    if (this.protocols.length >= PROTOCOLS) return PROTOCOLS - 1;
    return this.protocols.push(this.protocols.length === PROTOCOLS - 1 ? "others" : protocol) - 1;
  }
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400] as const;
const DAY = 86_400;

/** The next round length: of days, a power of two. */
function round(seconds: number): number {
  return STEPS.find((step) => step >= seconds) ?? DAY * 2 ** Math.ceil(Math.log2(seconds / DAY));
}
