// A button that opens a panel below it. Escape, a click elsewhere, or leaving it with the keyboard closes it.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { keepFocus } from "../shell/focus";

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
  // Before the next key comes: an effect behind the next frame would be too late for somebody who types on.
  useLayoutEffect(() => {
    const [box, within] = [whole.current, panel.current];
    if (!box || !within) return;
    const elsewhere = (event: Event) => {
      if (!box.contains(event.target as Node)) shown.value = false;
    };
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.target !== document.body) return;
      event.stopPropagation();
      close();
    };
    // Safari gives the focus to no button that was clicked.
    if (document.activeElement === document.body) within.focus();
    const keeps = keepFocus(within);
    addEventListener("pointerdown", elsewhere, true);
    addEventListener("focusin", elsewhere);
    addEventListener("keydown", pressed, true);
    return () => {
      keeps();
      removeEventListener("pointerdown", elsewhere, true);
      removeEventListener("focusin", elsewhere);
      removeEventListener("keydown", pressed, true);
    };
  }, [shown.value]);
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
