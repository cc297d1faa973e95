// Sends a call again, or all calls of its connection, to a target that the hub's owner allowed (docs/replay.md).
//
// Nothing is sent before somebody asks for it here; who leaves, or stops it, ends the run.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, type Problem } from "../api";
import type { Entry } from "../entry";
import { kept } from "../shell/kept";
import { node } from "./addresses";
import { problem, Refusal, useLoaded } from "./loaded";
import { type Outcome, Replayed } from "./replayed";

const MOST = 10_000; // calls of a run
const FASTEST = 1_000; // a second
const stored = kept("replay target", "");
const CREDENTIALS = new Set(["cookie", "authorization", "proxy-authorization", "x-api-key"]);

export function Replay({ entry }: { entry: Entry }) {
  const [loaded, again] = useLoaded("", (signal) => ask<{ targets: string[] }>("/api/replay", { signal }));
  if (loaded.state === "loading") return <p class="packets-wait faint">Asking where calls may be sent …</p>;
  if (loaded.state === "refused") return <Refusal problem={loaded.problem} again={again} />;
  if (loaded.value.targets.length === 0) return <NoTarget />;
  return <Form key={entry.id} entry={entry} targets={loaded.value.targets} />;
}

function NoTarget() {
  return (
    <div class="packets-wait">
      <p>This hub may not send calls again: nobody told it where to.</p>
      <p>
        Whoever runs it can allow targets when it is started, each with <code>--replay-target HOST:PORT</code>:
      </p>
      <pre class="mono">pysniff hub … --replay-target staging:8080</pre>
    </div>
  );
}

type Run =
  | { state: "none" }
  | { state: "runs" }
  | { state: "done"; outcome: Outcome }
  | { state: "refused"; why: Problem };

function Form({ entry, targets }: { entry: Entry; targets: string[] }) {
  const [target, aim] = useState(targets.find((one) => one === stored.read()) ?? targets[0] ?? "");
  const [what, choose] = useState<"call" | "connection">("call");
  const [times, count] = useState("1");
  const [rate, pace] = useState("");
  const [run, set] = useState<Run>({ state: "none" });
  const ended = useRef<AbortController | null>(null);
  useEffect(() => () => ended.current?.abort(), []);
  const runs = run.state === "runs";

  const begin = async (event: Event) => {
    event.preventDefault();
    const mine = new AbortController();
    ended.current = mine;
    stored.write(target);
    set({ state: "runs" });
    const which = what === "call" ? { id: entry.id } : { stream: entry.stream, node: node(entry.id) };
    const body = JSON.stringify({ ...which, target, count: Number(times), rate: rate === "" ? null : Number(rate) });
    const headers = { "Content-Type": "application/json" };
    try {
      const outcome = await ask<Outcome>("/api/replay", { method: "POST", headers, body, signal: mine.signal });
      if (!mine.signal.aborted) set({ state: "done", outcome });
    } catch (error) {
      if (!mine.signal.aborted) set({ state: "refused", why: problem(error) });
    }
  };
  const stop = () => {
    ended.current?.abort();
    set({ state: "none" });
  };

  return (
    <div class="replay">
      <form onSubmit={begin} aria-label="Send again">
        <fieldset disabled={runs}>
          <legend>Send again</legend>
          <label>
            <input type="radio" name="what" checked={what === "call"} onChange={() => choose("call")} /> this call
          </label>
          <label>
            <input type="radio" name="what" checked={what === "connection"} onChange={() => choose("connection")} /> all
            calls of its connection
          </label>
          <div class="replay-fields">
            <label>
              to{" "}
              <select value={target} onChange={(event) => aim(event.currentTarget.value)}>
                {targets.map((one) => (
                  <option key={one} value={one}>
                    {one}
                  </option>
                ))}
              </select>
            </label>
            <label>
              times{" "}
              <input
                type="number"
                required
                min={1}
                max={MOST}
                step={1}
                value={times}
                onInput={(event) => count(event.currentTarget.value)}
              />
            </label>
            <label>
              calls a second{" "}
              <input
                type="number"
                min={0.01}
                max={FASTEST}
                step="any"
                placeholder={what === "call" ? "one after the other" : "as recorded"}
                value={rate}
                onInput={(event) => pace(event.currentTarget.value)}
              />
            </label>
          </div>
        </fieldset>
        <Warning entry={entry} what={what} target={target} />
        {runs ? (
          // Two buttons, not one that changes: a click on it would stop, and then submit as what it has become.
          <button type="button" key="stop" onClick={stop}>
            Stop
          </button>
        ) : (
          <button type="submit" key="send" class="main">
            Send to {target}
          </button>
        )}
        <span class="faint" role="status">
          {runs && " It runs. Stopping, or leaving this call, ends it."}
        </span>
      </form>
      {run.state === "refused" && <Refusal problem={run.why} />}
      {run.state === "done" && <Replayed outcome={run.outcome} />}
    </div>
  );
}

function Warning({ entry, what, target }: { entry: Entry; what: "call" | "connection"; target: string }) {
  const names = (entry.request?.headers ?? []).map(([name]) => name.toLowerCase());
  const secret = [...new Set(names.filter((name) => CREDENTIALS.has(name)))];
  return (
    <p class="replay-warning">
      <b>It is sent as it was recorded, with its cookies and credentials,</b> to {target}, which does what it is told:
      it may order, pay or delete.
      {what === "call" && secret.length > 0 && ` This call has ${secret.join(" and ")}.`}
    </p>
  );
}
