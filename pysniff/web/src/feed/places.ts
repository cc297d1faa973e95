// Where things are by their hash: a table of numbers that makes no garbage, however many come and go.
//
// It knows hashes alone: whoever asks says whether a place is really the one.

/** 32 bits of a text (FNV-1a). */
export function hashed(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return spread(hash);
}

/** 32 bits of a whole number. */
export function hashedNumber(number: number): number {
  return spread(Math.imul(number >>> 0, 0x9e3779b1) ^ Math.floor(number / 0x1_0000_0000));
}

/** Of up to `most` places, which are whole numbers from 0. */
export class Places {
  readonly #table: Int32Array; // a place and one more; 0 is free
  readonly #hashes: Uint32Array; // by place
  readonly #mask: number;

  constructor(most: number) {
    const size = 2 ** Math.ceil(Math.log2(most * 2));
    this.#table = new Int32Array(size);
    this.#hashes = new Uint32Array(most);
    this.#mask = size - 1;
  }

  find(hash: number, same: (place: number) => boolean): number | null {
    for (let at = hash & this.#mask; ; at = (at + 1) & this.#mask) {
      const place = (this.#table[at] ?? 0) - 1;
      if (place < 0) return null;
      if (this.#hashes[place] === hash && same(place)) return place;
    }
  }

  /** A place has one hash: remove it before it gets another. */
  add(hash: number, place: number): void {
    let at = hash & this.#mask;
    while (this.#table[at]) at = (at + 1) & this.#mask;
    this.#table[at] = place + 1;
    this.#hashes[place] = hash;
  }

  remove(place: number): void {
    const hash = this.#hashes[place] ?? 0;
    let hole = hash & this.#mask;
    while (this.#table[hole] !== place + 1) {
      if (!this.#table[hole]) return;
      hole = (hole + 1) & this.#mask;
    }
    // What follows moves up, so that no search ends at the hole: Knuth, volume 3, 6.4, algorithm R.
    for (let at = (hole + 1) & this.#mask; this.#table[at]; at = (at + 1) & this.#mask) {
      const home = (this.#hashes[(this.#table[at] ?? 0) - 1] ?? 0) & this.#mask;
      if (((at - home) & this.#mask) >= ((at - hole) & this.#mask)) {
        this.#table[hole] = this.#table[at] ?? 0;
        hole = at;
      }
    }
    this.#table[hole] = 0;
  }

  clear(): void {
    this.#table.fill(0);
  }
}

function spread(hash: number): number {
  let mixed = hash;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
