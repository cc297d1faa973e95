// Rows of one height, of which only those in sight exist: a list of a hundred thousand costs what a screen costs.
import type { ComponentChildren, CSSProperties, HTMLAttributes } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const SPARE = 6; // rows above and below what is in sight

interface Properties extends Omit<HTMLAttributes<HTMLDivElement>, "children"> {
  count: number;
  height: number;
  /** The row that must be in sight; scrolled to when it changes. */
  shown?: number | null;
  row: (index: number, style: CSSProperties) => ComponentChildren;
  /** Told of the box's width in pixels. */
  measured?: (width: number) => void;
}

export function Rows({ count, height, shown = null, row, measured, ...rest }: Properties) {
  const box = useRef<HTMLDivElement>(null);
  const [seen, see] = useState({ top: 0, size: 400 });
  const look = () => {
    const element = box.current;
    if (element) see({ top: element.scrollTop, size: element.clientHeight });
  };
  // Not everything that is used: observed once; `measured` sets a state, and stays the same
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      look();
      measured?.(element.clientWidth);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  // Not everything that is used: rows that are there already do not scroll anything
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || shown === null || shown < 0) return;
    const top = shown * height;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + height > element.scrollTop + element.clientHeight) {
      element.scrollTop = top + height - element.clientHeight;
    }
    look();
  }, [shown, height]);
  const first = Math.max(0, Math.min(count - 1, Math.floor(seen.top / height)) - SPARE);
  const last = Math.min(count, Math.ceil((seen.top + seen.size) / height) + SPARE);
  const rows: ComponentChildren[] = [];
  for (let index = first; index < last; index++) {
    rows.push(
      row(index, { position: "absolute", top: `${index * height}px`, height: `${height}px`, left: 0, right: 0 }),
    );
  }
  return (
    <div {...rest} ref={box} onScroll={look}>
      <div role="presentation" style={{ position: "relative", height: `${count * height}px` }}>
        {rows}
      </div>
    </div>
  );
}

/** Where an arrow or page key leads from a row; null for other keys. */
export function moved(key: string, from: number, count: number, page = 10): number | null {
  const to = {
    ArrowUp: from - 1,
    ArrowDown: from + 1,
    PageUp: from - page,
    PageDown: from + page,
    Home: 0,
    End: count - 1,
  }[key];
  return to === undefined || count === 0 ? null : Math.max(0, Math.min(count - 1, to));
}
