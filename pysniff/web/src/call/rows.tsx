// A list of rows of one height, of which only those in view exist: a million of them cost what fifty do.
import type { ComponentChildren, HTMLAttributes, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const BEYOND = 6; // rows made beyond the edges of the view

interface RowsProps {
  count: number;
  height: number;
  row: (place: number) => ComponentChildren;
  /** Brought into view whenever it changes to another row; -1 for none. */
  reveal?: number;
  box?: RefObject<HTMLDivElement | null>;
  attributes?: HTMLAttributes<HTMLDivElement>;
}

export function Rows({ count, height, row, reveal = -1, box, attributes }: RowsProps) {
  const own = useRef<HTMLDivElement>(null);
  const scroller = box ?? own;
  const [top, setTop] = useState(0);
  const [view, setView] = useState(600);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const seen = new ResizeObserver(() => setView(element.clientHeight));
    seen.observe(element);
    return () => seen.disconnect();
  }, []);
  useEffect(() => {
    const element = scroller.current;
    if (!element || reveal < 0) return;
    const at = reveal * height;
    const inside = at >= element.scrollTop && at + height <= element.scrollTop + element.clientHeight;
    if (!inside) element.scrollTop = at - element.clientHeight / 4;
    intoView(element, at - element.scrollTop, height);
  }, [reveal]);
  const first = Math.max(0, Math.min(Math.floor(top / height) - BEYOND, count - 1));
  const last = Math.min(count, Math.ceil((top + view) / height) + BEYOND);
  const shown = [];
  for (let place = first; place < last; place++) shown.push(row(place));
  return (
    <div
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      class="rows"
      {...attributes}
      ref={scroller}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
    >
      <div class="rows-all" role="presentation" style={{ height: `${count * height}px` }}>
        <div class="rows-shown" role="presentation" style={{ transform: `translateY(${first * height}px)` }}>
          {shown}
        </div>
      </div>
    </div>
  );
}

/** The box itself may reach beyond the panel that it stands in. */
function intoView(box: HTMLElement, top: number, height: number): void {
  const panel = box.closest(".call-panel");
  if (!panel) return;
  const seen = panel.getBoundingClientRect();
  const at = box.getBoundingClientRect().top + top;
  if (at + height > seen.bottom) panel.scrollTop += at + height - seen.bottom + height;
  else if (at < seen.top) panel.scrollTop -= seen.top - at + height;
}
