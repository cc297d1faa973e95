// The status line: in one line whether what is shown is all there is. Each part says what it means and opens the workers.

import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { view } from "../address";
import { connection, evicted, held, missed, paused, received } from "../feed/store";
import { count, shortened, size } from "../format";
import { imbalances, losses } from "./losses";
import { begin, pace, told, trouble } from "./poll";
import { connected, together, total } from "./told";
import { finished, many, readSoFar } from "./why";

const NAME = 40; // characters of a file's name

/** It asks for the workers as long as the page is there, also while nobody is signed in and nothing of it is shown. */
export function StatusLine({ hidden }: { hidden: boolean }) {
  useEffect(begin, []);
  if (hidden) return null;
  const workers = told.value?.workers ?? [];
  const here = connected(workers);
  const sum = together(here);
  return (
    <footer class="status-line">
      <Connection />
      <Part
        name="nodes"
        grade={here.length < workers.length ? "failing" : ""}
        tip={workers
          .slice(0, 8)
          .map((one) => `${one.node}: ${one.state}${one.reason && ` (${one.reason})`}`)
          .join("\n")}
      >
        {told.value ? `${here.length} of ${many(workers.length, "node")}` : "…"}
      </Part>
      <Pace />
      <Losses sum={sum} />
      <StoreFill />
      <span class="gap" />
      <Calls />
    </footer>
  );
}

function Connection() {
  const state = trouble.value ? "away" : connection.value;
  const files = (told.value?.workers ?? []).flatMap(({ figures: one }) => (one && finished(one) ? [one.capture] : []));
  const [file] = files.length === told.value?.workers.length ? files : [];
  const words = {
    open: paused.value ? "paused" : file ? `${file.state}: ${shortened((file.files ?? []).join(", "), NAME)}` : "live",
    connecting: "connecting",
    away: "the hub is away",
    "signed out": "signed out",
  }[state];
  const tips = {
    open: paused.value
      ? "What comes is not shown until you go on."
      : file
        ? `A finished capture: ${readSoFar(file)}. ${file.reason}`
        : "Connected to the hub: what happens is shown as it happens.",
    connecting: "The page is asking the hub.",
    "signed out": "The hub wants its token: load the page again.",
    away: trouble.value?.message ?? "The page asks again by itself; calls of the meantime come from history.",
  };
  const light = {
    open: paused.value ? "uneasy" : "sound",
    connecting: "uneasy",
    away: "failing",
    "signed out": "failing",
  };
  return (
    <Part name="connection" grade={state === "open" || state === "connecting" ? "" : "failing"} tip={tips[state]}>
      <span class={`dot ${light[state]}`} aria-hidden="true" />
      {words}
    </Part>
  );
}

function Pace() {
  if (told.value?.workers.every(({ figures: one }) => one?.capture.state === "finished")) return null;
  let packets = 0;
  for (const one of pace.value.values()) packets += one.packets;
  return (
    <Part
      name="pace"
      tip="Packets that all workers receive in a second. With none, nothing passes, or the capture filter keeps it out."
    >
      {count(Math.round(packets))} packets/s
    </Part>
  );
}

function Losses({ sum }: { sum: ReturnType<typeof together> }) {
  const lost = losses(sum);
  const wrong = imbalances(sum);
  const number = lost.reduce((so_far, one) => so_far + one.count, 0);
  const tip = lost.length
    ? lost.map((one) => `${count(one.count)} packets ${one.term.words}. ${one.term.loss}`).join("\n")
    : "Every packet that came is accounted for, and none was lost: calls are complete as far as packets passed here.";
  return (
    <Part name="losses" grade={number || wrong.length ? "uneasy" : ""} tip={[...wrong, tip].join("\n")}>
      {wrong.length ? "account does not balance" : number ? `${many(number, "packet")} lost` : "nothing lost"}
    </Part>
  );
}

function StoreFill() {
  const stores = connected(told.value?.workers ?? []).flatMap(({ figures }) => figures?.store ?? []);
  const limit = stores.reduce((sum, store) => sum + store.limit, 0);
  const bytes = stores.reduce((sum, store) => sum + store.bytes, 0);
  const evicted = total(together(told.value?.workers ?? []), "store_evicted");
  const tip = `${size(bytes)} of ${size(limit)} are used on all nodes. ${
    evicted
      ? `${many(evicted, "packet")} made room for newer ones: history goes back as far as the rest does.`
      : "When a store is full, the oldest packets make room for newer ones."
  }`;
  if (!limit) return null;
  return (
    <Part name="store" tip={tip}>
      store {Math.round((bytes / limit) * 100)} %
    </Part>
  );
}

function Calls() {
  const out = evicted.value;
  const tip = [
    `${many(received.value, "call")} came for this filter; ${count(held.value)} are kept by the page.`,
    out ? `${count(out)} fell out of the page: it keeps the newest. Ask for an earlier time to see them.` : "",
    missed.value
      ? `${count(missed.value)} were dropped by the hub for this page, which could not take them as fast as they came. They are in the stores: narrow the filter, or ask for the time.`
      : "",
  ];
  return (
    <Part name="calls" grade={missed.value ? "uneasy" : ""} tip={tip.filter(Boolean).join("\n")}>
      {many(held.value, "call")}
      {out > 0 && `, ${count(out)} fell out`}
      {missed.value > 0 && `, ${count(missed.value)} missed`}
    </Part>
  );
}

interface Said {
  name: string;
  tip: string;
  grade?: string;
  children: ComponentChildren;
}

/** The tip is seen while the pointer or the focus is there. */
function Part({ name, tip, grade = "", children }: Said) {
  return (
    <span class="part">
      <button
        type="button"
        class={`quiet ${grade}`}
        aria-describedby={`tip-${name}`}
        onClick={() => {
          view.value = "workers";
        }}
      >
        {children}
      </button>
      <span class="tip captured" role="tooltip" id={`tip-${name}`}>
        {tip}
      </span>
    </span>
  );
}
