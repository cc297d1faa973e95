// Why nothing is shown, and what to do (why.ts has the reasons).
import { batch, useSignal, useSignalEffect } from "@preact/signals";
import { filter, from, to, view } from "../address";
import { connection, paused, refused, toldHistory, waiting } from "../feed/store";
import { Command } from "../shell/command";
import { narrowed, read as readConfiguration } from "./configuration";
import { type Looked, look } from "./look";
import { pace, told, trouble } from "./poll";
import { connected, together, total } from "./told";
import { type Kind, type Remedy, why } from "./why";

const AGAIN = 10_000; // milliseconds between two looks, at least; none where no packet came meanwhile

const MARKS: Partial<Record<Kind, string>> = {
  "signed-out": "🔒",
  "no-privilege": "🔒",
  encrypted: "🔒",
};

export function WhyEmpty() {
  const looked = useSignal<Looked | null>(null);
  // Look once history is told, and again as packets come.
  useSignalEffect(() => {
    const question = { from: from.value, to: to.value };
    if (connection.value !== "open" || !toldHistory.value) return;
    looked.value = null;
    const control = new AbortController();
    let timer = 0;
    let packets = -1;
    const next = async () => {
      const now = total(together(told.peek()?.workers ?? []), "live_packets");
      if (now !== packets && !document.hidden) {
        packets = now;
        try {
          looked.value = await look(question.from, question.to, control.signal);
        } catch {
          packets = -1; // what the hub said is said elsewhere; try again
        }
      }
      if (!control.signal.aborted) timer = window.setTimeout(next, AGAIN);
    };
    void next();
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  });
  useSignalEffect(() => {
    if (told.value && !narrowed.peek()) void readConfiguration().catch(() => {});
  });
  const reason = why({
    connection: connection.value,
    signedOut: trouble.value?.status === 401,
    refused: refused.value,
    paused: paused.value,
    waiting: waiting.value,
    toldHistory: toldHistory.value,
    filter: filter.value,
    from: from.value,
    to: to.value,
    told: told.value,
    carried: lately(),
    narrowed: narrowed.value ?? new Map(),
    looked: looked.value,
  });
  return (
    <section class={`why ${reason.kind}`} aria-labelledby="why">
      <div class={reason.busy ? "mark busy" : "mark"} aria-hidden="true">
        {MARKS[reason.kind] ?? (reason.busy ? "" : "∅")}
      </div>
      <h2 id="why" aria-live="polite">
        {reason.title}
      </h2>
      {reason.words.map((words) => (
        <p key={words} class="captured">
          {words}
        </p>
      ))}
      {reason.todo.length > 0 && (
        <ul class="todo">
          {reason.todo.map((remedy) => (
            <li key={remedy.words}>
              <Todo remedy={remedy} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Todo({ remedy }: { remedy: Remedy }) {
  if (remedy.kind === "command")
    return (
      <>
        <span class="faint">{remedy.words}</span> <Command text={remedy.command} />
      </>
    );
  const act = () =>
    batch(() => {
      if (remedy.kind === "filter") filter.value = remedy.filter;
      else if (remedy.kind === "workers") view.value = "workers";
      else if (remedy.kind === "resume") paused.value = false;
      else from.value = to.value = "";
    });
  return (
    <button type="button" onClick={act}>
      {remedy.words}
    </button>
  );
}

/** What all connected workers' interfaces carried between their last two answers. */
function lately(): number | null {
  const found = connected(told.value?.workers ?? []).map((worker) => pace.value.get(worker.node)?.carried ?? null);
  return found.length && found.every((one) => one !== null) ? found.reduce((sum, one) => sum + one, 0) : null;
}
