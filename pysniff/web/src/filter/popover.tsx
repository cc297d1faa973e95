// A button that opens a panel below it. Escape, a click elsewhere, or leaving it with the keyboard closes it.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

export function Popover({
  label,
  title,
  name,
  children,
}: {
  /** What the button shows, and what it is called where that says nothing. */
  label: ComponentChildren;
  title: string;
  /** Class of the whole. */
  name: string;
  /** `close` gives the focus back to the button. */
  children: (close: () => void) => ComponentChildren;
}) {
  const shown = useSignal(false);
  const whole = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const id = useId();
  const close = () => {
    shown.value = false;
    button.current?.focus();
  };
  useEffect(() => {
    if (!shown.value) return;
    const elsewhere = (event: Event) => {
      if (!whole.current?.contains(event.target as Node)) shown.value = false;
    };
    addEventListener("pointerdown", elsewhere, true);
    addEventListener("focusin", elsewhere);
    return () => {
      removeEventListener("pointerdown", elsewhere, true);
      removeEventListener("focusin", elsewhere);
    };
  }, [shown.value]);
  // What had the focus may be gone, as a row that was deleted: Escape and Tab go on from the panel.
  useEffect(() => {
    if (shown.value && document.activeElement === document.body) panel.current?.focus();
  });
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape closes from anywhere in it
    <div
      class={`popover ${name}`}
      ref={whole}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !shown.value) return;
        event.stopPropagation();
        close();
      }}
    >
      <button
        type="button"
        ref={button}
        class="popover-button"
        aria-haspopup="dialog"
        aria-expanded={shown.value}
        aria-controls={id}
        aria-label={title}
        title={title}
        onClick={() => {
          shown.value = !shown.value;
        }}
      >
        {label}
      </button>
      {shown.value && (
        <div class="popover-panel" ref={panel} tabIndex={-1} id={id} role="dialog" aria-label={title}>
          {children(close)}
        </div>
      )}
    </div>
  );
}
