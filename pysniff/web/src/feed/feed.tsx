// biome-ignore-all lint/a11y/useSemanticElements: a windowed list is no <table>
// biome-ignore-all lint/a11y/useFocusableInteractive: the list has the focus, and names its active row
// biome-ignore-all lint/a11y/useKeyWithClickEvents: keys.ts has the keys
// The list of calls, the newest at the bottom. Of 100,000 rows some forty are drawn.
import { signal, useSignalEffect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { call, compared } from "../address";
import { add, clause } from "../filter/clauses";
import { count } from "../format";
import { WhyEmpty } from "../workers/empty";
import { choose, compare, follow, reveal, scrolledTo, sees, shownTop, top } from "./choice";
import { COLUMNS } from "./columns";
import { Earlier } from "./earlier";
import { older } from "./reception";
import { MOST } from "./ring";
import { CHOSEN, Row } from "./row";
import { earlier, finished, following, intake, paused, question, refused, revision, waiting } from "./store";
import { below, contentHeight, drawn, lowest, positionAt, type View } from "./window";

const OLDER = 40; // rows below the top at which older ones are asked for
const NEAR = 2; // pixels that browsers round by

interface Size {
  height: number;
  row: number;
}

/** The row, counted from the first that is drawn, and the column under the pointer. */
const pointed = signal<{ row: number; column: string } | null>(null);

export function Feed() {
  revision.value;
  const box = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLDivElement>(null);
  const set = useRef(0); // what the list was scrolled to last, by us
  const [size, measured] = useState<Size>({ height: 600, row: 24 });
  const { ring } = intake;
  const view: View = { first: ring.first, end: ring.end, ...size };
  const at = shownTop();
  const { scroll, from, to } = drawn(at, view);
  const empty = ring.count === 0 && intake.waiting.count === 0;

  useEffect(() => () => sees(null), []);
  sees(view);

  useLayoutEffect(() => {
    if (!box.current || !body.current) return;
    const watch = new ResizeObserver(() => measure(box.current, body.current, measured));
    watch.observe(box.current);
    measure(box.current, body.current, measured);
    return () => watch.disconnect();
  }, [empty]);

  useLayoutEffect(() => {
    if (!box.current || Math.abs(set.current - scroll) < 0.5) return;
    box.current.scrollTop = scroll;
    set.current = scroll;
  });

  useSignalEffect(() => {
    if (question.value) top.value = null;
  });

  // A link names a call: show it once it is there.
  const shown = useRef("");
  useSignalEffect(() => {
    revision.value;
    const id = call.value;
    if (!id || shown.current === id || ring.positionOf(id) === null) return;
    shown.current = id;
    reveal(id);
  });

  // Who leaves the pane is back in the list.
  const was = useRef("");
  useLayoutEffect(() => {
    if (was.current && !call.value && document.activeElement === document.body)
      box.current?.focus({ preventScroll: true });
    was.current = call.value;
  });

  // Older ones are asked for as the top comes near; and at once where the window has room for them.
  useEffect(() => {
    const near = !following.value && positionAt(scroll, view) - view.first < OLDER;
    if (earlier.value === "more" && !empty && (near || lowest(view) === 0)) older();
  });

  const scrolled = () => {
    if (!box.current) return;
    const now = box.current.scrollTop;
    if (Math.abs(now - set.current) < 1) return;
    // A window that grows moves the list up too, to its end.
    const { scrollHeight, clientHeight } = box.current;
    const up = now < set.current && now < scrollHeight - clientHeight - NEAR;
    set.current = now;
    const position = positionAt(now, view);
    const end = now >= lowest(view) - NEAR;
    if (following.value && !up) return;
    if (end && !up && !finished.value && waiting.value === 0) return follow(true);
    if (following.value) following.value = false;
    scrolledTo(position);
  };

  const clicked = (event: MouseEvent) => {
    const found = under(event);
    if (!found) return;
    const seen = intake.ring.at(intake.ring.positionOf(found.id) ?? Number.NaN);
    const asks = event.altKey && seen ? COLUMNS.find(({ key }) => key === found.column)?.asks?.(seen) : null;
    if (asks) return add(clause(asks[0], asks[1], event.shiftKey));
    if (event.ctrlKey || event.metaKey) compare(found.id);
    else choose(found.id);
    box.current?.focus({ preventScroll: true });
  };

  const points = (event: PointerEvent) => {
    if (event.pointerType !== "mouse") return;
    const found = under(event);
    const now = pointed.peek();
    if (found?.column !== now?.column || found?.row !== now?.row) pointed.value = found;
  };

  if (empty) {
    return (
      <div class="feed empty">
        <WhyEmpty />
      </div>
    );
  }
  const more = following.value || finished.value ? 0 : below(at, view) + intake.waiting.count;
  const point = pointed.value;
  const rows = [];
  let several = false;
  for (let position = from; position < to; position++) {
    const seen = ring.at(position);
    if (!seen) continue;
    several = severalNodes(seen.nodes);
    const { id } = seen.summary;
    const row = position - from;
    rows.push(
      <Row
        key={row}
        seen={seen}
        index={position - ring.first + 2}
        chosen={id === call.value}
        compared={id === compared.value}
        pointed={point?.row === row ? point.column : ""}
      />,
    );
  }
  return (
    <div class={several ? "feed nodes" : "feed"}>
      {refused.value && (
        <p class="feed-refusal" role="alert">
          <strong>{refused.value.message}</strong> {refused.value.hint}
        </p>
      )}
      <div
        class="feed-list"
        id="calls"
        ref={box}
        role="grid"
        aria-label="Calls"
        aria-readonly="true"
        aria-rowcount={ring.count + 2}
        aria-activedescendant={call.value && ring.positionOf(call.value) !== null ? CHOSEN : undefined}
        tabIndex={0}
        onScroll={scrolled}
        onClick={clicked}
        onPointerOver={points}
        onPointerLeave={() => {
          pointed.value = null;
        }}
      >
        <Heads />
        <div role="rowgroup" class="feed-rows" ref={body} style={{ height: `${contentHeight(view)}px` }}>
          <Earlier />
          <div class="feed-drawn" role="presentation" style={{ top: `${(from - ring.first + 1) * size.row}px` }}>
            {rows}
          </div>
        </div>
      </div>
      {earlier.value === "cut" && (
        <p class="feed-more" role="status">
          These are the first {count(MOST)} calls of the capture: for others narrow the filter or the time.
        </p>
      )}
      {more > 0 && (
        <button type="button" class="feed-newest" onClick={newest}>
          ↓ {count(more)} newer
        </button>
      )}
    </div>
  );
}

function newest(): void {
  paused.value = false;
  follow(true);
}

function Heads() {
  return (
    <div role="rowgroup" class="feed-heads">
      <div role="row" class="feed-row" aria-rowindex={1}>
        {COLUMNS.map(({ key, name, title }) => (
          <div role="columnheader" key={key} class={`of-${key}`} title={title}>
            {key === "marks" ? <span class="hidden">{name}</span> : name}
          </div>
        ))}
      </div>
    </div>
  );
}

/** Names of nodes that were drawn for the question: of one alone its name says nothing. */
const named = { question: -1, names: new Set<string>() };
const SEVERAL = 2;

function severalNodes(nodes: readonly string[]): boolean {
  if (named.question !== question.peek()) {
    named.question = question.peek();
    named.names.clear();
  }
  for (const name of nodes) if (named.names.size < SEVERAL) named.names.add(name);
  return named.names.size >= SEVERAL;
}

function measure(box: HTMLElement | null, body: HTMLElement | null, measured: (size: Size) => void): void {
  if (!box || !body) return;
  const row = Number.parseFloat(getComputedStyle(body).getPropertyValue("--row")) || 24;
  const heads = box.firstElementChild instanceof HTMLElement ? box.firstElementChild.offsetHeight : 0;
  measured({ height: box.clientHeight - heads, row });
}

/** The row and the column of an event. */
function under(event: Event): { id: string; row: number; column: string } | null {
  const on = event.target instanceof Element ? event.target : null;
  const row = on?.closest<HTMLElement>("[data-id]");
  const id = row?.dataset.id;
  if (!row || !id) return null;
  const column = on?.closest("[role=gridcell]")?.className.match(/of-(\w+)/)?.[1] ?? "";
  return { id, row: [...(row.parentElement?.children ?? [])].indexOf(row), column };
}
