// Two panes with a bar between them that a pointer or the arrow keys move. On narrow screens the second covers the first.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { kept } from "./kept";

const LEAST = 25; // per cent of the width that either pane keeps
const STEP = 2;
const stored = kept("split", 55);
const share = signal(limited(stored.read()));

export function Split({ first, second }: { first: ComponentChildren; second: ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  const move = (per_cent: number) => {
    share.value = limited(per_cent);
    stored.write(share.value);
  };
  const drag = (event: PointerEvent) => {
    const bar = event.currentTarget as HTMLElement;
    if (!box.current || !bar.hasPointerCapture(event.pointerId)) return;
    const { left, width } = box.current.getBoundingClientRect();
    move(((event.clientX - left) / width) * 100);
  };
  const key = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move(share.value + by);
  };
  return (
    <div class={second ? "split both" : "split"} ref={box}>
      <div class="pane" style={second ? { flexBasis: `${share.value}%` } : {}}>
        {first}
      </div>
      {second && (
        // biome-ignore lint/a11y/useSemanticElements: an <hr> can be neither focused nor dragged
        <div
          class="bar"
          role="separator"
          aria-label="Width of the two panes"
          aria-orientation="vertical"
          aria-valuemin={LEAST}
          aria-valuemax={100 - LEAST}
          aria-valuenow={Math.round(share.value)}
          tabIndex={0}
          onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
          onPointerMove={drag}
          onKeyDown={key}
        />
      )}
      {second && <div class="pane second">{second}</div>}
    </div>
  );
}

function limited(value: unknown): number {
  return typeof value === "number" && value > 0 ? Math.min(100 - LEAST, Math.max(LEAST, value)) : 55;
}
