// The map that is looked at: where its figures come from, what it groups by, and what of it is chosen.
import { computed, signal } from "@preact/signals";
import { measured, received, shown } from "../figures/received";
import { kept } from "../shell/kept";
import { type By, type Graph, graphOf, type Row } from "./graph";
import { WINDOW } from "./model";
import { rowsOf, spanOf, stored } from "./stored";

export type Source = "received" | "stored";
export type Form = "drawing" | "table";

export const source = signal<Source>("received");
/** What a person chose to group by; null until then. */
export const chosenBy = signal<By | null>(null);
/** The id of an edge or a node. */
export const chosen = signal("");

const NARROW = 600; // pixels: a table reads better there
const keptForm = kept<Form | "">("map", "");
const before = keptForm.read();
export const form = signal<Form>(
  before === "drawing" || before === "table" ? before : innerWidth < NARROW ? "table" : "drawing",
);

export function show(next: Form): void {
  form.value = next;
  keptForm.write(next);
}

/** What the hub's map does not tell: it has one row for all addresses of a service, and no machines. */
export const ONLY_RECEIVED: readonly By[] = ["machine", "address"];

export const by = computed<By>(() => {
  const wanted = chosenBy.value;
  if (wanted && !(source.value === "stored" && ONLY_RECEIVED.includes(wanted))) return wanted;
  return alone.value ? "port" : "service";
});

/** Everything goes from one address to itself, as on a laptop: its ports say more. */
const alone = computed(() => {
  const [first, ...more] = new Set(rows.value.flatMap((row) => [row.source.id, row.target.id]));
  return first !== undefined && !more.length;
});

/** Seconds that rates are of: the last ten while calls come, else all from the first to the last call. */
export const seconds = computed(() => {
  shown.value;
  if (source.value === "stored") return spanOf(stored.value?.services.from ?? null, stored.value?.services.to ?? null);
  return received().goesOn ? WINDOW : received().span;
});

const rows = computed<Row[]>(() => {
  shown.value;
  if (source.value === "stored") return stored.value ? rowsOf(stored.value.services) : [];
  const { map, goesOn, span } = received();
  return map.rows(chosenBy.value === "address", received().now(Date.now()), goesOn ? null : span);
});

export const graph = computed<Graph>(() => measured(() => graphOf(rows.value, by.value)));

/** What the bytes of an edge are. */
export const bytesWords = computed(() => (source.value === "stored" ? "bytes on the wire" : "bytes of bodies"));
