// Fills the store: asks what the address says, takes in what comes, a part of it each frame.
import { batch, effect } from "@preact/signals";
import { filter, from, to } from "../address";
import { ask } from "../api";
import { told, trouble } from "../workers/poll";
import { hub } from "./asking";
import { type Asked, History } from "./history";
import { Live } from "./live";
import type { Refused, Told } from "./messages";
import { Rate } from "./rate";
import { MOST } from "./ring";
import * as store from "./store";

const { intake } = store;
const DRAWN = 30; // milliseconds between two drawings of the list: nobody reads faster
const COUNTS = 200; // milliseconds between two looks at the counts
const WHILE_HIDDEN = 500; // milliseconds that a page nobody sees may take at once
const PROTECTED = 20; // rows above those that are looked at
const WORKERS = 1_500; // milliseconds that are waited for what kind of capture it is
const AGAIN = 5_000; // before a busy hub is asked again

const arrivals = new Rate();
let arrived = 0;
/** The topmost row that is on screen while nothing is followed. */
let looked: number | null = null;
let scheduled = false;
let drawn = 0; // when
let stale = false; // what is drawn
let countsDue = 0;
let countsTimer: ReturnType<typeof setTimeout> | undefined;
/** Which kind of capture it is; null until a worker said so. */
let capture: "live" | "reading" | "finished" | null = null;
/** Of questions that were begun, the latest. */
let begun = 0;
let flushing = false;

const history = new History(hub, intake, {
  earlier: (state) => {
    store.earlier.value = state;
    if (state !== "asking") store.toldHistory.value = true;
  },
  // Of workers the live question tells, where there is one; a page ends at all of them soon.
  told: (message) => {
    if (to.value || (message.type === "status" && message.severity !== "info")) remember(message);
  },
  refused: refuse,
  wake,
});

const live = new Live(hub, intake, {
  state: (line) => {
    store.connection.value = line === "signed out" ? "away" : line;
    store.signedOut.value = line === "signed out";
    if (line === "open") history.retry();
  },
  asked: () => {
    store.refused.value = null;
  },
  back: () => {
    intake.ring.forgetNumbers();
    intake.waiting.forgetNumbers();
    if (intake.received > 0 || store.finished.value) return false;
    begin(asked());
    return true;
  },
  told: (message) => {
    if (message.type === "missed") store.missed.value += message.count;
    else if (message.type === "end") intake.afterwards(() => ended(Number(message.figures.entries ?? 0)));
    else if (message.type === "caught_up") intake.afterwards(caughtUp);
    else if (message.type === "error") refuse(message);
    else remember(message);
    wake();
  },
  refused: refuse,
  wake,
});

/** Begin; once. */
export function receive(): void {
  effect(() => {
    const now = asked();
    // What is written below is not what is asked.
    queueMicrotask(() => begin(now));
  });
  effect(() => {
    store.following.value;
    store.paused.value;
    queueMicrotask(wake);
  });
  effect(() => {
    const found = kindOf(told.value?.workers ?? []);
    queueMicrotask(() => recognised(found));
  });
  effect(() => {
    if (trouble.value?.status !== 401 && store.signedOut.peek()) queueMicrotask(live.retry.bind(live));
  });
  // A frame that was waited for does not come to a page that nobody sees.
  document.addEventListener("visibilitychange", () => {
    scheduled = false;
    wake();
  });
}

/** A page of older calls, where there are any. */
export function older(): void {
  if (store.earlier.value === "more" || store.earlier.value === "cleared") history.older();
}

/** Empty the list; what comes from now on is shown. */
export function clear(): void {
  live.cleared();
  history.stop();
  intake.clearRows();
  emptied();
  store.earlier.value = "cleared";
  store.following.value = true;
}

/** The view's topmost row, or null while it follows or is not there: rows from there on do not fall out. */
export function looksAt(position: number | null): void {
  looked = position;
}

function asked(): Asked {
  return { filter: filter.value, from: from.value, to: to.value };
}

async function begin(now: Asked): Promise<void> {
  intake.clear();
  batch(() => {
    emptied();
    store.refused.value = null;
    store.statuses.value = new Map();
    store.toldHistory.value = false;
    store.earlier.value = "asking";
  });
  history.stop();
  const mine = ++begun;
  live.begin(now, isFile(), capture !== "finished");
  if (capture === null) {
    const found = await kind();
    if (mine !== begun) return;
    capture = found;
    if (isFile()) live.begin(now, true, capture !== "finished");
  }
  store.finished.value = isFile();
  store.following.value = !isFile() && !now.to;
  if (!isFile()) history.begin(now);
}

function isFile(): boolean {
  return capture === "reading" || capture === "finished";
}

async function kind(): Promise<typeof capture> {
  try {
    const answer = await ask<{ workers: WorkerRow[] }>("/api/workers", { signal: AbortSignal.timeout(WORKERS) });
    return kindOf(answer.workers);
  } catch {
    return null; // It is asked for again when a worker answers; what is wrong the connection says.
  }
}

/** Live unless every worker reads a file, or has; null where none says, or one has just begun. */
function kindOf(workers: readonly WorkerRow[]): typeof capture {
  const states = workers.map((worker) => worker.figures?.capture?.state).filter((state) => state !== undefined);
  if (states.length === 0 || states.includes("starting")) return null;
  if (!states.every((state) => state === "finished" || state === "reading")) return "live";
  return states.includes("reading") ? "reading" : "finished";
}

interface WorkerRow {
  figures: { capture?: { state?: string } } | null;
}

function remember(message: Told): void {
  if (message.type !== "status") return;
  store.statuses.value = new Map(store.statuses.value).set(message.node, message);
  if (capture === null && message.node && message.state === "live") void kind().then(recognised);
}

/** Workers have said what they do: read a file, perhaps, or they have read it. */
function recognised(found: typeof capture): void {
  if (capture === null && found !== null) {
    capture = found;
    if (isFile()) void begin(asked());
  } else if (capture === "reading" && found === "finished") {
    capture = found;
    live.finish();
  }
}

function refuse(why: Refused): void {
  store.refused.value = why;
  store.toldHistory.value = true;
  if (why.code !== "busy") return;
  const mine = begun;
  setTimeout(() => {
    if (mine === begun) void begin(asked());
  }, AGAIN);
}

/** A finished capture is told, or as much of it as is kept. */
function ended(entries: number): void {
  store.toldHistory.value = true;
  if (store.finished.value) store.earlier.value = entries >= MOST ? "cut" : "none";
}

function caughtUp(): void {
  if (!store.finished.value) return;
  store.toldHistory.value = true;
  store.earlier.value = "none";
}

function emptied(): void {
  arrivals.clear();
  arrived = 0;
  looked = null;
  batch(() => {
    store.missed.value = 0;
    count();
    store.since.value = Date.now();
    store.question.value++;
    store.revision.value++;
  });
}

/** Something waits to be taken in: with the next frame, or now where nobody looks. */
function wake(): void {
  if (scheduled || flushing) return;
  if (document.hidden) flush();
  else {
    scheduled = true;
    requestAnimationFrame(flush);
  }
}

function flush(): void {
  scheduled = false;
  flushing = true;
  hold();
  const hidden = document.hidden;
  const began = performance.now();
  // A page that nobody sees has no frames to miss.
  const now = hidden ? () => began + (performance.now() - began) * (4 / WHILE_HIDDEN) : () => performance.now();
  const { calls, changed } = intake.flush(now);
  flushing = false;
  if (calls.length) store.tell(calls);
  arrivals.add(intake.arrived - arrived, performance.now());
  arrived = intake.arrived;
  if (changed) countSoon();
  stale ||= changed;
  if (stale && (hidden || performance.now() - drawn >= DRAWN)) {
    stale = false;
    drawn = performance.now();
    store.revision.value++;
  }
  if ((stale || !intake.idle) && !hidden) wake();
}

/** Rows stand still while paused, and where the ones that are looked at would fall out. */
function hold(): void {
  const { ring } = intake;
  const falling = looked !== null && ring.full && looked - ring.first < PROTECTED;
  intake.hold(store.paused.value || (!store.following.value && falling));
}

function countSoon(): void {
  const now = performance.now();
  if (now >= countsDue) count();
  else countsTimer ??= setTimeout(count, countsDue - now);
}

function count(): void {
  clearTimeout(countsTimer);
  countsTimer = undefined;
  const now = performance.now();
  countsDue = now + COUNTS;
  const rate = arrivals.per_second(now);
  batch(() => {
    store.received.value = intake.received;
    store.held.value = intake.ring.count + intake.waiting.count;
    store.waiting.value = intake.waiting.count;
    store.evicted.value = intake.evicted;
    store.rate.value = rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate);
  });
  // Until nothing comes any more.
  if (rate > 0) countsTimer = setTimeout(count, COUNTS);
}
