// The calls of a connection in order of time; a click shows one.
import { useState } from "preact/hooks";
import { call } from "../address";
import type { Entry, Summary } from "../entry";
import { clock, count, duration } from "../format";
import { type Calls, callsOf, MOST_CALLS } from "./calls";
import { AskAgain, type Last, Refusal, useLoaded } from "./loaded";
import { moved, Rows } from "./rows";

const ROW = 24;
const last: Last<Calls> = { key: "", value: null };

export function ConnectionCalls({ entry }: { entry: Entry }) {
  const [loaded, again] = useLoaded(key(entry), (signal) => callsOf(entry, signal), last);
  if (loaded.state === "loading") return <p class="packets-wait faint">Asking for the connection's calls …</p>;
  if (loaded.state === "refused") return <Refusal problem={loaded.problem} again={again} />;
  const { calls, more, notes } = loaded.value;
  return (
    <section class="connection" aria-label="Calls of the connection">
      <header class="packets-bar">
        <span>
          {count(calls.length)} {calls.length === 1 ? "call" : "calls"} on this connection
          {more && `: the newest ${count(MOST_CALLS)}, there may be older ones`}
        </span>
        <AskAgain again={again} />
      </header>
      {notes.map((note) => (
        <p class="packets-account bad captured" role="status" key={note}>
          {note}
        </p>
      ))}
      <List calls={calls} entry={entry} />
    </section>
  );
}

/** A call that is younger than the list asks for another one. */
function key(entry: Entry): string {
  const known = last.value?.calls.some((one) => one.id === entry.id) ?? false;
  return known && last.key.startsWith(`${entry.stream} `) ? last.key : `${entry.stream} ${entry.id}`;
}

function List({ calls, entry }: { calls: readonly Summary[]; entry: Entry }) {
  const current = calls.findIndex((one) => one.id === entry.id);
  const [at, move] = useState(current);
  const press = (event: KeyboardEvent) => {
    const chosen = calls[at];
    if (event.key === "Enter" && chosen) call.value = chosen.id;
    else {
      const to = moved(event.key, at, calls.length);
      if (to === null || event.ctrlKey || event.metaKey || event.altKey) return;
      move(to);
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <Rows
      class="connection-rows"
      role="listbox"
      aria-label="Calls of the connection, in order of time"
      aria-activedescendant={at >= 0 ? `of-connection-${at}` : undefined}
      tabIndex={0}
      onKeyDown={press}
      count={calls.length}
      height={ROW}
      shown={at}
      row={(index, style) => {
        const one = calls[index] as Summary;
        const before = calls[index - 1];
        return (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the list's
          <div
            key={one.id}
            id={`of-connection-${index}`}
            role="option"
            aria-selected={one.id === entry.id}
            tabIndex={-1}
            class={index === at ? "connection-row here" : "connection-row"}
            style={style}
            onClick={() => {
              move(index);
              call.value = one.id;
            }}
          >
            <span class="mono" title={one.timestamp}>
              {clock(one.timestamp)}
            </span>
            <span class="mono faint" title="Since the call before">
              {before ? `+${duration(apart(before.timestamp, one.timestamp))}` : ""}
            </span>
            <span class="faint" title={words(one, entry)}>
              {turned(one, entry) ? "←" : "→"}
              <span class="hidden">{words(one, entry)}</span>
            </span>
            <span class={`protocol ${one.protocol}`}>{one.protocol}</span>
            <span class="captured what">{one.summary}</span>
            <span class={one.ok ? "captured" : "captured bad"}>
              {one.state === "open" ? "open" : one.status}
              {one.faults.length > 0 && <b title={one.faults.join(", ")}> ⚠</b>}
            </span>
            <span class="mono faint">{duration(one.elapsed_time)}</span>
          </div>
        );
      }}
    />
  );
}

/** A message that the server began, on a connection whose other calls the client does. */
function turned(one: Summary, entry: Entry): boolean {
  return one.src.ip === entry.dst.ip && one.src.port === entry.dst.port;
}

function words(one: Summary, entry: Entry): string {
  return turned(one, entry) ? "in the other direction" : "in the same direction";
}

/** Microseconds between two timestamps, which have nanoseconds. */
export function apart(one: string, other: string): number {
  return Number((nanoseconds(other) - nanoseconds(one)) / 1_000n);
}

function nanoseconds(timestamp: string): bigint {
  const fraction = /\.(\d+)/.exec(timestamp)?.[1] ?? "";
  const seconds = BigInt(Math.floor(Date.parse(timestamp) / 1_000));
  return seconds * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
}
