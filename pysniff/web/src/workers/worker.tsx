// One worker: whether it is there, what it captures, its store, its questions, its memory, what it noted.
import type { ComponentChildren } from "preact";
import { count, size } from "../format";
import { Decryption, Programs } from "./decryption";
import { losses } from "./losses";
import { pace } from "./poll";
import { type Figures, total, type Worker } from "./told";
import { elapsed, finished, many, readSoFar } from "./why";

export function OneWorker({ worker, open }: { worker: Worker; open: boolean }) {
  const { figures } = worker;
  const state = stateOf(worker);
  return (
    <details class="worker" open={open}>
      <summary>
        <span class={`dot ${state.grade}`} aria-hidden="true" />
        <strong class="captured">{worker.node}</strong>
        <span class={state.grade === "sound" ? "faint" : state.grade}>{state.words}</span>
        <span class="faint since">for {elapsed((Date.now() - Date.parse(worker.since)) / 1000)}</span>
        {figures && <span class="faint rate">{rate(worker.node)}</span>}
      </summary>
      {state.reason && <p class={`captured ${state.grade}`}>{state.reason}</p>}
      {figures ? (
        <Facts worker={worker} figures={figures} />
      ) : (
        <p class="faint captured">
          {worker.address} {worker.state === "connected" && worker.figures_error}
        </p>
      )}
    </details>
  );
}

/** Connected and capturing is good; anything else has words. */
export function stateOf(worker: Worker): { grade: "sound" | "uneasy" | "failing"; words: string; reason: string } {
  if (worker.state !== "connected") return { grade: "failing", words: worker.state, reason: worker.reason };
  const { figures } = worker;
  if (!figures) return { grade: "uneasy", words: "does not answer", reason: worker.figures_error };
  const { capture } = figures;
  const reason = [capture.reason, capture.hint].filter(Boolean).join("; ");
  if (finished(figures)) return { grade: "sound", words: readSoFar(capture), reason };
  if (!figures.capturing) {
    const waiting = capture.absent.length ? `waits for ${capture.absent.join(", ")}` : capture.state;
    return { grade: "failing", words: `not capturing: ${waiting}`, reason };
  }
  if (losses(figures.ledger).length) return { grade: "uneasy", words: "captures, with losses", reason };
  return { grade: "sound", words: "captures", reason };
}

function rate(node: string): string {
  const now = pace.value.get(node);
  return now ? `${count(Math.round(now.packets))} packets/s` : "";
}

function Facts({ worker, figures }: { worker: Worker; figures: Figures }) {
  const { capture, store, queries, memory, ledger } = figures;
  const running = Object.entries(queries.running).filter(([, number]) => number > 0);
  const lost = losses(ledger);
  return (
    <>
      <dl class="facts">
        <Fact name="Interfaces">
          {capture.interfaces.length === 0 && "none"}
          {places(capture.interfaces).map(([place, names]) => (
            <span key={place} class="captured place">
              {names.join(", ")} {place && <span class="faint">in {place}</span>}
            </span>
          ))}
          {capture.absent.length > 0 && <span class="uneasy captured"> waits for {capture.absent.join(", ")}</span>}
        </Fact>
        <Fact name="Packets">
          {finished(figures)
            ? `${count(total(ledger, "store_packets"))} read`
            : `${count(total(ledger, "live_packets"))} received`}
          , {count(total(ledger, "store_written"))} stored
        </Fact>
        <Fact name="Lost">
          {lost.length ? (
            <span class="uneasy">
              {lost.map(({ term, count: number }) => `${count(number)} ${term.words}`).join("; ")}
            </span>
          ) : (
            "nothing"
          )}
        </Fact>
        <Fact name="Store">
          <Fill store={store} />
          <span>
            {size(store.bytes)} of {size(store.limit)}, {many(store.segments, "segment")},{" "}
            {count(total(ledger, "store_evicted"))} packets dropped for newer ones
          </span>
          <code class="captured faint">{store.path}</code>
        </Fact>
        <Fact name="Questions">
          {running.length ? running.map(([what, number]) => `${number} ${what}`).join(", ") : "none now"},{" "}
          {queries.most} at most; {count(queries.answered)} answered
          {queries.refused > 0 && <span class="uneasy">, {count(queries.refused)} refused: it was busy</span>}
          {queries.failed + queries.died > 0 && (
            <span class="uneasy">, {count(queries.failed + queries.died)} failed</span>
          )}
        </Fact>
        <Fact name="Memory">
          {Object.entries(memory)
            .filter(([, bytes]) => bytes > 0)
            .map(([what, bytes]) => `${size(bytes)} ${what}`)
            .join(", ")}
        </Fact>
        {figures.tls && (
          <Fact name="TLS">
            <Decryption tls={figures.tls} />
          </Fact>
        )}
        <Fact name="Hubs">
          {figures.hubs.map((hub) => (
            <span key={hub.address} class="captured">
              {hub.name || hub.address} {hub.state}
              {hub.reason && `: ${hub.reason}`}{" "}
            </span>
          ))}
        </Fact>
        <Fact name="Left out">
          <span class="captured">
            {capture.excluded.length
              ? `the cluster's own traffic at ${capture.excluded.slice(0, 6).join(", ")}`
              : "nothing"}
            {capture.excluded.length > 6 && ` and ${capture.excluded.length - 6} more`}
          </span>
        </Fact>
        <Fact name="Software">
          <span class="captured">{worker.software}</span>, running for{" "}
          {elapsed((figures.now_ns - figures.started_ns) / 1e9)}
          {capture.restarts > 0 && <span class="uneasy">, capture restarted {many(capture.restarts, "time")}</span>}
        </Fact>
      </dl>
      {figures.tls?.tracer && <Programs tracer={figures.tls.tracer} />}
      {figures.notices.length > 0 && (
        <details class="notices">
          <summary>{many(figures.notices.length, "notice")}</summary>
          <ol>
            {figures.notices.map((text, at) => (
              <li key={at} class="captured">
                {text}
              </li>
            ))}
          </ol>
        </details>
      )}
    </>
  );
}

/** Interfaces by network namespace, "" for the worker's own: they are told as namespace/interface. */
function places(interfaces: readonly string[]): [string, string[]][] {
  const found = new Map<string, string[]>();
  for (const one of interfaces) {
    const at = one.lastIndexOf("/");
    const place = one.slice(0, Math.max(0, at));
    found.set(place, [...(found.get(place) ?? []), one.slice(at + 1)]);
  }
  return [...found];
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Fill({ store }: { store: Figures["store"] }) {
  return <meter min={0} max={store.limit || 1} value={store.bytes} aria-label="How full the store is" />;
}
