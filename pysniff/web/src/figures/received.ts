// The calls that this page has received, in figures and as a map; begun anew with each question.
//
// Counting costs a few microseconds a call; what is shown is made from it only while somebody looks, twice a second.
import { effect, signal } from "@preact/signals";
import { finished, kept, listen, question, since, toldHistory } from "../feed/store";
import { Model } from "../map/model";
import { Arrivals } from "./arrivals";
import { Endpoints } from "./endpoints";
import { Series } from "./series";

const SHOWN = 500; // milliseconds between two pictures
const SHARE = 20; // of the time that pictures may take: one twentieth
/** Of seconds: a newest call not older than that when it came is of now, by whatever clock its node has. */
const LIVE = 60;

export class Received {
  readonly series = new Series();
  readonly endpoints = new Endpoints();
  readonly map = new Model();
  readonly arrivals = new Arrivals(
    (call, by) => this.series.count(call, by),
    (call, by) => this.endpoints.count(call, by),
    (call, by) => this.map.count(call, by),
  );
  /** When counting began, and when the newest call came: milliseconds since 1970 by this browser's clock. */
  readonly since = since.peek();
  newestCame = Date.now();
  /** The newest call came as it happened, not with history. */
  newestIsNew = false;

  get calls(): number {
    return this.arrivals.calls;
  }

  /** The second that it is in the capture: it goes on while the newest call is of just now. */
  now(clock: number): number {
    const { newest } = this.arrivals;
    if (!this.goesOn) return newest;
    // What came with history happened a while before; of what is new we know when it was, whatever nodes' clocks say.
    const now = this.newestIsNew ? newest + (clock - this.newestCame) / 1_000 : clock / 1_000;
    return Math.max(newest, Math.floor(now));
  }

  get goesOn(): boolean {
    return !finished.peek() && Math.abs(this.newestCame / 1_000 - this.arrivals.newest) < LIVE;
  }

  /** Seconds that the calls are spread over, 1 at least. */
  get span(): number {
    return this.calls ? this.arrivals.newest - this.arrivals.oldest + 1 : 1;
  }
}

/** What has been received so far: the same object until another question is asked. */
let now = new Received();
export function received(): Received {
  return now;
}

/** Counts up, twice a second at most, when there is something new to show. */
export const shown = signal(0);
let due = false;
let cost = 0;

/** What is shown, and how long that took: what takes long is done more rarely. */
export function measured<T>(make: () => T): T {
  const begun = performance.now();
  const made = make();
  cost = performance.now() - begun;
  return made;
}

function show(): void {
  if (due) return;
  due = true;
  setTimeout(
    () => {
      due = false;
      shown.value += 1;
    },
    Math.max(SHOWN, SHARE * cost),
  );
}

effect(() => {
  question.value;
  now = new Received();
  shown.value = shown.peek() + 1;
});

listen((calls) => {
  const { arrivals } = now;
  const newest = arrivals.newest;
  for (const seen of calls) arrivals.add(seen);
  if (arrivals.newest > newest) {
    now.newestCame = Date.now();
    now.newestIsNew = toldHistory.peek();
  }
  show();
});

// This script comes behind the page's first one, and calls may be quicker.
for (const seen of kept()) now.arrivals.add(seen);
