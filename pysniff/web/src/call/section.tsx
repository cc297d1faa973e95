// A part of a half that opens and closes; whoever closes the header fields of one call wants them closed in the next.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { kept } from "../shell/kept";

const stored = kept<Record<string, boolean>>("call.sections", {});

interface SectionProps {
  /** What is remembered: "headers". */
  name: string;
  title: string;
  /** Beside the title: how many, how much. */
  note?: string;
  closed?: boolean;
  children: ComponentChildren;
}

export function Section({ name, title, note = "", closed = false, children }: SectionProps) {
  const [open, setOpen] = useState(() => stored.read()[name] ?? !closed);
  return (
    <details
      class="section"
      open={open}
      onToggle={(event) => {
        const now = event.currentTarget.open;
        if (now === open) return;
        setOpen(now);
        stored.write({ ...stored.read(), [name]: now });
      }}
    >
      <summary>
        {title}
        {note && <span class="faint"> {note}</span>}
      </summary>
      {open && children}
    </details>
  );
}
