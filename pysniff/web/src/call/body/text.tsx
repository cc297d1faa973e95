// Text with the numbers of its lines, broken into rows that fit: a line of a megabyte is as quick as any.
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { count } from "../../format";
import { Find } from "../find";
import { Rows } from "../rows";
import { visible } from "../visible";
import { found, row, rowOf, starts } from "./line_starts";

const HEIGHT = 18;
const UNWRAPPED = 2_000; // columns of a row where lines are not broken to fit
const SIGN = 7.3; // pixels of a sign until it is measured

export function Text({ text, label }: { text: string; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const [wrap, setWrap] = useState(true);
  const [words, setWords] = useState("");
  const [at, setAt] = useState(-1);
  const columns = useColumns(box, wrap);
  const lines = useMemo(() => starts(text, wrap ? columns : UNWRAPPED), [text, wrap, columns]);
  const places = useMemo(() => found(text, words), [text, words]);
  const gutter = String(lines.lines).length;
  return (
    <div class="text-view">
      <div class="bar-row">
        <Find
          label={`Find in ${label}`}
          words={words}
          found={places.length}
          onWords={(next) => {
            setWords(next);
            setAt(-1);
          }}
          onGo={setAt}
        />
        <label class="check">
          <input type="checkbox" checked={wrap} onChange={() => setWrap(!wrap)} /> wrap
        </label>
        {lines.cut && <span class="warn">the first {count(lines.line.length)} rows are shown</span>}
      </div>
      <Rows
        count={lines.line.length}
        height={HEIGHT}
        box={box}
        reveal={at < 0 ? -1 : rowOf(lines, places[at] ?? 0)}
        attributes={{ role: "region", "aria-label": label, class: "rows mono" }}
        row={(place) => (
          <div key={place} class="text-row">
            <span class="gutter" aria-hidden="true" style={{ width: `${gutter}ch` }}>
              {lines.line[place] || ""}
            </span>
            <span class="captured">
              <Marked
                text={row(text, lines, place)}
                start={lines.at[place] ?? 0}
                places={places}
                size={words.length}
                at={at}
              />
            </span>
          </div>
        )}
      />
    </div>
  );
}

interface MarkedProps {
  text: string;
  start: number;
  places: readonly number[];
  size: number;
  at: number;
}

/** A row with what was looked for marked in it. */
function Marked({ text, start, places, size, at }: MarkedProps) {
  if (!places.length) return visible(text) || "\u200b";
  const end = start + text.length;
  const parts = [];
  let from = start;
  for (let number = first(places, start - size + 1); number < places.length; number++) {
    const place = places[number] ?? end;
    if (place >= end) break;
    const [begin, stop] = [Math.max(place, from), Math.min(place + size, end)];
    parts.push(visible(text.slice(from - start, begin - start)));
    parts.push(<mark class={number === at ? "at" : ""}>{visible(text.slice(begin - start, stop - start))}</mark>);
    from = stop;
  }
  parts.push(visible(text.slice(from - start)));
  return <>{parts}</>;
}

/** The number of the first place that is not before `from`. */
function first(places: readonly number[], from: number): number {
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((places[middle] ?? 0) < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many columns fit, in steps, so that a pane that is drawn wider is not broken anew for each pixel. */
export function useColumns(box: { current: HTMLDivElement | null }, watch: boolean, margin = 64, step = 5): number {
  const [columns, setColumns] = useState(100);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || !watch) return;
    const measure = () => {
      const fit = Math.floor((element.clientWidth - margin) / (sign(element) || SIGN));
      setColumns(Math.max(20, fit - (fit % step)));
    };
    measure();
    const seen = new ResizeObserver(measure);
    seen.observe(element);
    return () => seen.disconnect();
  }, [watch]);
  return columns;
}

function sign(element: HTMLElement): number {
  const pen = document.createElement("canvas").getContext("2d");
  if (!pen) return 0;
  pen.font = getComputedStyle(element).font;
  return pen.measureText("0".repeat(100)).width / 100;
}
