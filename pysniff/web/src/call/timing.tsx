// When a call began and ended, and what of that was sending, waiting and receiving: packet times, as the HAR of the call
// has them (docs/export.md).
import { useEffect, useState } from "preact/hooks";
import { address, ask, Problem } from "../api";
import type { Entry } from "../entry";
import { duration } from "../format";

interface Spans {
  send: number;
  wait: number;
  receive: number;
}

interface Har {
  log: { entries: { timings: Spans }[] };
}

export function Timing({ entry }: { entry: Entry }) {
  const [spans, setSpans] = useState<Spans | Problem | null>(null);
  const http = entry.protocol === "http" || entry.protocol === "grpc";
  useEffect(() => {
    setSpans(null);
    if (!http) return;
    const abort = new AbortController();
    ask<Har>(address(`/api/entries/${encodeURIComponent(entry.id)}`, { as: "har", body_limit: 0 }), {
      signal: abort.signal,
    }).then(
      (har) => setSpans(har.log.entries[0]?.timings ?? null),
      (error: unknown) => {
        if (error instanceof Problem) setSpans(error);
        else if (!abort.signal.aborted) throw error;
      },
    );
    return () => abort.abort();
  }, [entry.id, entry.completed, entry.elapsed_time]);
  return (
    <div class="timing">
      <dl class="known">
        <dt>Began</dt>
        <dd>
          <Moment time={entry.timestamp} />
        </dd>
        <dt>Ended</dt>
        <dd>{entry.completed ? <Moment time={entry.completed} /> : <span class="warn">still open</span>}</dd>
        <dt>Elapsed</dt>
        <dd>
          {entry.elapsed_time === null
            ? "– (it takes a request and its response)"
            : `${duration(entry.elapsed_time)}: from the first byte of the request to the last of the response${
                entry.completed ? "" : " so far"
              }`}
        </dd>
      </dl>
      {spans instanceof Problem && (
        <p class="warn" role="alert">
          {spans.message}
          {spans.hint && ` (${spans.hint})`}
        </p>
      )}
      {spans && !(spans instanceof Problem) && <Bars spans={spans} />}
      {!http && (
        <p class="faint">Of this protocol no more than that is kept; the times of its packets are in Packets.</p>
      )}
    </div>
  );
}

const PARTS = [
  ["send", "Sending", "the request, first byte to last"],
  ["wait", "Waiting", "until the first byte of the response"],
  ["receive", "Receiving", "the response, first byte to last"],
] as const;

function Bars({ spans }: { spans: Spans }) {
  const whole = spans.send + spans.wait + spans.receive || 1;
  let start = 0;
  return (
    <table class="bars" aria-label="Where the time went">
      <tbody>
        {PARTS.map(([name, title, means]) => {
          const from = start;
          start += spans[name];
          return (
            <tr key={name}>
              <th scope="row" title={means}>
                {title}
              </th>
              <td class="number">{duration(Math.round(spans[name] * 1_000))}</td>
              <td class="track" aria-hidden="true">
                <span
                  class={`span ${name}`}
                  style={{ left: `${(from / whole) * 100}%`, width: `${(spans[name] / whole) * 100}%` }}
                />
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

/** In UTC to the nanosecond, as it was captured. */
function Moment({ time }: { time: string }) {
  return (
    <time class="mono" dateTime={time}>
      {time.replace("T", " ").replace("Z", " UTC")}
    </time>
  );
}
