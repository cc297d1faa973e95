// How often which duration was seen, in buckets that grow with it.
//
// 16 buckets for each doubling: a percentile is within 1/32 (3.2 per cent) of the exact one by nearest rank, and exact
// up to 32. Only the doublings that were seen take room.

const PARTS = 16; // of a doubling
const BITS = 4; // 2 ** BITS == PARTS
const MOST = 2 ** 46; // microseconds: two years

export const ACCURACY = 1 / (2 * PARTS);

export class Histogram {
  #counts = new Uint32Array(0);
  /** The bucket of #counts[0]; a multiple of PARTS. */
  #first = 0;
  #size = 0;

  /** How many values there are. */
  get size(): number {
    return this.#size;
  }

  add(value: number): void {
    const bucket = bucketOf(value);
    this.#cover(bucket, bucket);
    const place = bucket - this.#first;
    this.#counts[place] = (this.#counts[place] as number) + 1;
    this.#size += 1;
  }

  merge(other: Histogram): void {
    const from = other.#counts;
    if (!from.length) return;
    this.#cover(other.#first, other.#first + from.length - 1);
    const shift = other.#first - this.#first;
    const into = this.#counts;
    for (let place = 0; place < from.length; place++)
      into[place + shift] = (into[place + shift] as number) + (from[place] as number);
    this.#size += other.#size;
  }

  /** The value that so many per cent do not exceed, by nearest rank; null where there is none. */
  percentile(percent: number): number | null {
    if (!this.#size) return null;
    const rank = Math.max(1, Math.ceil((this.#size * percent) / 100));
    let seen = 0;
    for (let place = 0; place < this.#counts.length; place++) {
      seen += this.#counts[place] as number;
      if (seen >= rank) return middle(place + this.#first);
    }
    return null;
  }

  #cover(lowest: number, highest: number): void {
    const end = this.#first + this.#counts.length;
    if (this.#counts.length && lowest >= this.#first && highest < end) return;
    const first = floor(this.#counts.length ? Math.min(lowest, this.#first) : lowest);
    const last = floor(Math.max(highest, end - 1)) + PARTS;
    const counts = new Uint32Array(last - first);
    if (this.#counts.length) counts.set(this.#counts, this.#first - first);
    this.#counts = counts;
    this.#first = first;
  }
}

function floor(bucket: number): number {
  return bucket - (bucket % PARTS);
}

function bucketOf(value: number): number {
  let whole = Math.floor(Math.min(MOST, Math.max(0, value)));
  let shifted = 0;
  // Bits work on 32 of them.
  if (whole >= 2 ** 31) {
    whole = Math.floor(whole / 2 ** 16);
    shifted = 16;
  }
  if (whole < PARTS) return whole;
  const exponent = 31 - Math.clz32(whole) - BITS;
  return (exponent + shifted + 1) * PARTS + ((whole >> exponent) & (PARTS - 1));
}

/** The value that stands for a bucket. */
function middle(bucket: number): number {
  if (bucket < 2 * PARTS) return bucket;
  const width = 2 ** (Math.floor(bucket / PARTS) - 1);
  const lowest = (PARTS + (bucket % PARTS)) * width;
  return lowest + Math.floor((width - 1) / 2);
}
