// The chosen call: everything that is known of it, in tabs. What the hub says instead is shown in its words.
import type { ComponentChildren } from "preact";
import { useEffect, useErrorBoundary, useLayoutEffect, useRef } from "preact/hooks";
import { call, compared } from "../address";
import type { Problem } from "../api";
import type { Entry } from "../entry";
import { known } from "../feed/store";
import { keepFocus } from "../shell/focus";
import { later } from "../shell/later";
import { Text } from "./body/text";
import { Diff } from "./diff/diff";
import { Half } from "./half";
import { close, Head } from "./head";
import { type Full, tree } from "./loaded";
import { Overview } from "./overview";
import { show, shown } from "./shown";
import { type Tab, Tabs } from "./tabs";
import { Timing } from "./timing";
import { TlsFacts } from "./tls";
import { Tree } from "./tree/tree";
import { useCall } from "./use_call";
import { inLine } from "./visible";

const Packets = later(() => import("../packets/packets").then((part) => part.Packets));
const Replay = later(() => import("../packets/replay").then((part) => part.Replay));
const Stream = later(() => import("../packets/stream").then((part) => part.Stream));

export function CallPane() {
  const id = call.value;
  const { full, problem, loading, again, more } = useCall(id);
  const other = compared.value;
  // Who chooses a second call wants to see what differs.
  useEffect(() => {
    if (other && other !== id) show("diff");
  }, [other, id]);
  const box = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    const pane = box.current;
    if (!pane) return;
    const one = (selector: string) => pane.querySelector<HTMLElement>(selector);
    return keepFocus(pane, () => one("[role=tab][aria-selected=true]") ?? one("button"));
  }, []);
  const key = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    event.stopPropagation();
    close();
  };
  return (
    <section class="call" aria-label="Call" aria-busy={loading} ref={box} onKeyDown={key}>
      {full ? (
        <>
          <Head full={full} />
          {problem && <Refused problem={problem} again={again} />}
          {other === full.entry.id && (
            <p class="call-hint" role="status">
              Now choose the call to compare it with.
            </p>
          )}
          <Shown full={full} more={more} />
        </>
      ) : (
        <Missing id={id} problem={problem} again={again} />
      )}
    </section>
  );
}

function tabs(entry: Entry): Tab[] {
  const http = entry.protocol === "http" || entry.protocol === "grpc";
  const faults = entry.faults.length ? { mark: String(entry.faults.length) } : {};
  return [
    ...(compared.value && compared.value !== entry.id ? [{ id: "diff", name: "Diff" }] : []),
    { id: "overview", name: "Overview", ...faults },
    ...(entry.request && entry.response
      ? [
          { id: "request", name: "Request" },
          { id: "response", name: "Response" },
        ]
      : []),
    { id: "timing", name: "Timing" },
    ...(entry.tls ? [{ id: "tls", name: "TLS" }] : []),
    { id: "stream", name: "Stream" },
    { id: "packets", name: "Packets" },
    ...(http ? [{ id: "replay", name: "Replay" }] : []),
    { id: "json", name: "JSON" },
  ];
}

function Shown({ full, more }: { full: Full; more: () => void }) {
  const { entry } = full;
  const all = tabs(entry);
  const chosen = all.some(({ id }) => id === shown.value) ? shown.value : "overview";
  return (
    <Tabs tabs={all} chosen={chosen} label="Parts of the call" onChoose={show}>
      {/* Another call is another panel: nothing that was opened in the one before stays open in this one. */}
      <div class={`panel-${chosen}`} key={`${entry.id} ${chosen}`}>
        <Guarded>
          <Panel tab={chosen} full={full} more={more} />
        </Guarded>
      </div>
    </Tabs>
  );
}

function Panel({ tab, full, more }: { tab: string; full: Full; more: () => void }) {
  const { entry } = full;
  switch (tab) {
    case "diff":
      return <Diff full={full} />;
    case "request":
    case "response":
      return <Half full={full} side={tab} more={more} />;
    case "timing":
      return <Timing entry={entry} />;
    case "tls":
      return entry.tls && <TlsFacts tls={entry.tls} />;
    case "stream":
      return <Stream entry={entry} />;
    case "packets":
      return <Packets entry={entry} />;
    case "replay":
      return <Replay entry={entry} />;
    case "json":
      return <AsJson full={full} />;
    default:
      return <Overview full={full} more={more} />;
  }
}

function AsJson({ full }: { full: Full }) {
  const root = tree(full);
  return root ? <Tree root={root} label="the call as JSON" /> : <Text text={full.text} label="the call as JSON" />;
}

/** A mistake of ours in one part leaves the others as they are. */
function Guarded({ children }: { children: ComponentChildren }) {
  const [error] = useErrorBoundary((wrong) => console.error(wrong));
  if (!error) return <>{children}</>;
  return (
    <p class="refused" role="alert">
      This part cannot be shown: {String(error)}. That is a bug of PySniff; the JSON has everything.
    </p>
  );
}

interface MissingProps {
  id: string;
  problem: Problem | null;
  again: () => void;
}

/** While it comes, and where it does not. */
function Missing({ id, problem, again }: MissingProps) {
  const summary = known(id)?.summary;
  return (
    <>
      <header class="call-head">
        <div class="call-title">
          <h2 class="mono captured">{inLine((summary?.summary ?? id).slice(0, 300))}</h2>
          <div class="actions">
            <button type="button" class="action quiet" onClick={close} aria-label="Close the call">
              ✕
            </button>
          </div>
        </div>
      </header>
      {problem ? <Refused problem={problem} again={again} /> : <p class="call-wait faint">Asking for the call …</p>}
    </>
  );
}

const MEANS: Record<string, string> = {
  notfound:
    "A node keeps the packets of its last calls; those of this one gave way to newer ones, or its node has another store now.",
  gone: "A node keeps the packets of its last calls; those of this one gave way to newer ones.",
  away: "Its packets are on that node. The call is here again when the node is.",
  busy: "Too much is asked at once.",
  late: "Its conversation is long, or the node has much to do.",
};

function Refused({ problem, again }: { problem: Problem; again: () => void }) {
  return (
    <div class="refused" role="alert">
      <p>
        <strong>{problem.message}</strong>
        {problem.hint && <span> {problem.hint}</span>}
      </p>
      {MEANS[problem.code] && <p class="faint">{MEANS[problem.code]}</p>}
      <button type="button" onClick={again}>
        Ask again
      </button>
    </div>
  );
}
