// Which values come how often, for the most frequent ones: at most MOST are counted, the rarest half makes room.

const MOST = 400;

export class Tally<T> {
  private readonly counts = new Map<T, number>();

  add(value: T): void {
    const count = this.counts.get(value);
    if (count === undefined && this.counts.size >= MOST) this.drop();
    this.counts.set(value, (count ?? 0) + 1);
  }

  /** The most frequent first; of those that are equal, the one that came first. */
  top(): { value: T; count: number }[] {
    return [...this.counts].map(([value, count]) => ({ value, count })).sort((one, other) => other.count - one.count);
  }

  private drop(): void {
    for (const { value } of this.top().slice(MOST / 2)) this.counts.delete(value);
  }
}
