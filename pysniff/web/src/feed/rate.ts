// How many come a second, over the last two.

const SLICE = 250; // milliseconds
const SLICES = 8;

export class Rate {
  readonly #counts = new Array<number>(SLICES).fill(0);
  #slice = 0;
  #begun = 0;

  add(count: number, now: number): void {
    this.#advance(now);
    this.#counts[this.#slice % SLICES] = (this.#counts[this.#slice % SLICES] ?? 0) + count;
  }

  /** A second; of whole slices. */
  per_second(now: number): number {
    this.#advance(now);
    let sum = 0;
    for (let slice = this.#slice - SLICES + 1; slice < this.#slice; slice++)
      sum += slice < 0 ? 0 : (this.#counts[slice % SLICES] ?? 0);
    const slices = Math.min(SLICES - 1, Math.max(1, this.#slice - this.#begun));
    return (sum * 1_000) / (slices * SLICE);
  }

  clear(): void {
    this.#counts.fill(0);
    this.#begun = this.#slice;
  }

  #advance(now: number): void {
    const slice = Math.floor(now / SLICE);
    if (slice - this.#slice > SLICES) {
      this.#counts.fill(0);
      this.#begun = slice;
      this.#slice = slice;
    }
    while (this.#slice < slice) this.#counts[++this.#slice % SLICES] = 0;
  }
}
