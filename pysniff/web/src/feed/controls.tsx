// biome-ignore-all lint/a11y/useSemanticElements: these are no fields of a form
// Pause, follow, clear; how much comes, and what did not.
import { signal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { count } from "../format";
import { follow } from "./choice";
import { Keys } from "./help";
import { listenToKeys } from "./keys";
import { Note } from "./note";
import { clear, receive } from "./reception";
import { MOST } from "./ring";
import { evicted, finished, following, held, missed, paused, rate, received, waiting } from "./store";

const explained = signal(false);
let receiving = false;

export function FeedControls() {
  useLayoutEffect(() => {
    if (!receiving) receive();
    receiving = true;
    return listenToKeys();
  }, []);
  return (
    <div class="feed-controls" role="group" aria-label="List of calls">
      {missed.value > 0 && (
        <button type="button" class="lost" onClick={() => (explained.value = true)}>
          {count(missed.value)} missed
        </button>
      )}
      <span
        class="rate"
        title={counts()}
        data-received={received.value}
        data-kept={held.value}
        data-evicted={evicted.value}
        data-missed={missed.value}
      >
        {finished.value ? `${count(received.value)} calls` : `${count(rate.value)}/s`}
      </span>
      <button
        type="button"
        aria-pressed={paused.value}
        title="Calls that come are kept, and shown when you go on (Space)"
        onClick={pause}
      >
        <svg viewBox="0 0 12 12" aria-hidden="true">
          <path d={paused.value ? "M2.5 1v10l8-5z" : "M2 1h3v10H2zm5 0h3v10H7z"} />
        </svg>
        {paused.value ? `Resume${waiting.value ? ` (${count(waiting.value)})` : ""}` : "Pause"}
      </button>
      <button
        type="button"
        aria-pressed={following.value}
        title="Stay at the newest call (f)"
        onClick={() => follow(!following.value)}
      >
        <svg viewBox="0 0 12 12" aria-hidden="true">
          <path d="M5.2 0h1.6v6.2l2-2L10 5.300 6 9.300 2 5.300l1.200-1.100 2 2zM1 10.400h10V12H1z" />
        </svg>
        Follow
      </button>
      <button type="button" title="Empty the list; what comes from now on is shown" onClick={clear}>
        Clear
      </button>
      {explained.value && (
        <Note title={`${count(missed.value)} calls were missed`} close={() => (explained.value = false)}>
          <p>
            The hub dropped them for this page, since the page read more slowly than calls came: they are not in the
            list, and not in its figures. The number is the hub's own count and exact.
          </p>
          <p>
            The workers still have them. A narrower filter lets fewer calls through; a time range asks for them again.
          </p>
        </Note>
      )}
      <Keys />
    </div>
  );
}

export function pause(): void {
  paused.value = !paused.value;
}

function counts(): string {
  const kept = `${count(received.value)} calls received`;
  return evicted.value ? `${kept}, ${count(evicted.value)} of them fell out: ${count(MOST)} are kept` : kept;
}
