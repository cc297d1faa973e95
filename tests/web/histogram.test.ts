import assert from "node:assert/strict";
import { test } from "node:test";
import { ACCURACY, Histogram } from "../../pysniff/web/src/figures/histogram";

/** By nearest rank, as the hub has them. */
function exact(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(1, Math.ceil((sorted.length * percent) / 100)) - 1] as number;
}

/** The same numbers each time, from 0 to 1. */
function* random(seed: number): Generator<number, never> {
  let state = seed;
  while (true) {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    yield state / 2 ** 32;
  }
}

function drawn(count: number, make: (unit: number) => number): number[] {
  const numbers = random(7);
  return Array.from({ length: count }, () => Math.floor(make(numbers.next().value)));
}

const SHAPES: Record<string, (unit: number) => number> = {
  even: (unit) => unit * 10_000,
  "long tail": (unit) => 200 / (1.0001 - unit),
  "two humps": (unit) => (unit < 0.8 ? 300 + unit * 100 : 2_000_000 + unit * 1e6),
  hours: (unit) => unit * 2e10,
  tiny: (unit) => unit * 31,
};

for (const [name, make] of Object.entries(SHAPES))
  test(`percentiles are as near to exact ones as is said: ${name}`, () => {
    const values = drawn(5_000, make);
    const histogram = new Histogram();
    for (const value of values) histogram.add(value);
    for (const percent of [1, 50, 90, 99, 100]) {
      const [told, wanted] = [histogram.percentile(percent) as number, exact(values, percent)];
      assert.ok(Math.abs(told - wanted) <= wanted * ACCURACY, `p${percent}: ${told}, exactly ${wanted}`);
    }
  });

test("what is below 32 is exact", () => {
  for (let value = 0; value < 32; value++) {
    const histogram = new Histogram();
    histogram.add(value);
    assert.equal(histogram.percentile(50), value);
  }
});

test("two histograms together say what one of all values says", () => {
  const [one, other, both] = [new Histogram(), new Histogram(), new Histogram()];
  drawn(1_000, (unit) => 10 ** (unit * 8)).forEach((value, place) => {
    (place % 3 ? one : other).add(value);
    both.add(value);
  });
  one.merge(other);
  assert.equal(one.size, 1_000);
  for (const percent of [1, 50, 90, 99]) assert.equal(one.percentile(percent), both.percentile(percent));
});

test("nothing has no percentile, and nothing is beyond bounds", () => {
  const histogram = new Histogram();
  assert.equal(histogram.percentile(50), null);
  histogram.merge(new Histogram());
  histogram.add(Number.MAX_SAFE_INTEGER);
  histogram.add(-5);
  assert.equal(histogram.percentile(1), 0);
  assert.ok((histogram.percentile(100) as number) > 2 ** 45);
});
