// Which part of the drawing is seen, and how large: pointer, wheel, keys and buttons change it.
import { type Signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Layout } from "./layout";

const CLICK = 4; // pixels that a click may slip
const STEP = 60; // pixels a key
const FACTOR = 1.25;
const [LEAST, MOST] = [0.08, 6];

export interface Shown {
  x: number;
  y: number;
  scale: number;
}

export interface Viewing {
  view: Shown;
  larger(): void;
  smaller(): void;
  fit(): void;
  /** Whether the pointer was dragged since it went down: the click that follows is none. */
  dragged(): boolean;
  /** `id`: of the node that the pointer is on, "" beside all. */
  down(event: PointerEvent, id: string): void;
  move(event: PointerEvent): void;
  up(): void;
  /** Whether it was a key of the drawing. */
  key(event: KeyboardEvent): boolean;
}

/** `onPut`: a node was dragged. */
export function useViewing(box: RefObject<SVGSVGElement | null>, layout: Layout, onPut: () => void): Viewing {
  const extent = useSignal({ width: 800, height: 500 });
  /** Null: as large as fits. */
  const chosen: Signal<Shown | null> = useSignal(null);
  const drag = useRef<{ id: string; x: number; y: number; slipped: boolean } | null>(null);

  const current = () => chosen.peek() ?? fitted(layout, extent.peek());
  const enlarge = (factor: number, x = extent.peek().width / 2, y = extent.peek().height / 2) => {
    const { x: left, y: top, scale } = current();
    const next = Math.min(MOST, Math.max(LEAST, scale * factor));
    chosen.value = { x: x - ((x - left) * next) / scale, y: y - ((y - top) * next) / scale, scale: next };
  };
  const pan = (dx: number, dy: number) => {
    const { x, y, scale } = current();
    chosen.value = { x: x + dx, y: y + dy, scale };
  };

  // Before it is drawn: else the map is fitted into another size first.
  useLayoutEffect(() => {
    const svg = box.current;
    if (!svg) return;
    const measure = () => {
      extent.value = { width: svg.clientWidth, height: svg.clientHeight };
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(svg);
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const { left, top } = svg.getBoundingClientRect();
      enlarge(FACTOR ** (-event.deltaY / 120), event.clientX - left, event.clientY - top);
    };
    // It must not be passive, or the page scrolls.
    svg.addEventListener("wheel", wheel, { passive: false });
    return () => {
      observer.disconnect();
      svg.removeEventListener("wheel", wheel);
    };
  }, []);

  return {
    view: chosen.value ?? fitted(layout, extent.value),
    larger: () => enlarge(FACTOR),
    smaller: () => enlarge(1 / FACTOR),
    fit: () => {
      chosen.value = null;
    },
    dragged: () => drag.current?.slipped ?? false,
    down(event, id) {
      if (event.button !== 0) return;
      event.stopPropagation();
      drag.current = { id, x: event.clientX, y: event.clientY, slipped: false };
    },
    move(event) {
      const now = drag.current;
      if (!now || !event.buttons) return;
      const [dx, dy] = [event.clientX - now.x, event.clientY - now.y];
      if (!now.slipped && Math.hypot(dx, dy) < CLICK) return;
      if (!now.slipped) box.current?.setPointerCapture(event.pointerId);
      drag.current = { id: now.id, x: event.clientX, y: event.clientY, slipped: true };
      const place = layout.places.get(now.id);
      if (!place) {
        pan(dx, dy);
        return;
      }
      chosen.value ??= current();
      layout.put(now.id, place.x + dx / current().scale, place.y + dy / current().scale);
      onPut();
    },
    up() {
      if (!drag.current?.slipped) drag.current = null;
      else
        setTimeout(() => {
          drag.current = null;
        });
    },
    key({ key }) {
      const by = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] }[key];
      if (by) pan(by[0] as number, by[1] as number);
      else if (key === "+" || key === "=") enlarge(FACTOR);
      else if (key === "-") enlarge(1 / FACTOR);
      else if (key === "0") chosen.value = null;
      else return false;
      return true;
    },
  };
}

function fitted(layout: Layout, { width, height }: { width: number; height: number }): Shown {
  let [left, top, right, bottom] = [-60, -60, 60, 60];
  for (const { x, y, radius } of layout.places.values()) {
    left = Math.min(left, x - radius - 70);
    right = Math.max(right, x + radius + 70);
    top = Math.min(top, y - radius - 60);
    bottom = Math.max(bottom, y + radius + 30);
  }
  const scale = Math.min(1.5, width / (right - left), height / (bottom - top));
  return { x: width / 2 - ((left + right) / 2) * scale, y: height / 2 - ((top + bottom) / 2) * scale, scale };
}
