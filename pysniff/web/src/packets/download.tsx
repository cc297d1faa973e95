// Links to pcapng files of the hub. What the hub refuses is said beside the link, not by a browser's failed download.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import type { Problem } from "../api";
import { problem } from "./loaded";
import { streamed } from "./streamed";

/** A link that works like any other; a plain click first asks whether there is an answer. */
export function Download({ href, children }: { href: string; children: ComponentChildren }) {
  const [refused, refuse] = useState<Problem | null>(null);
  const [asking, ask] = useState(false);
  const sure = useRef(false);
  const click = (event: MouseEvent) => {
    if (sure.current || event.ctrlKey || event.metaKey || event.shiftKey) {
      sure.current = false;
      return;
    }
    event.preventDefault();
    if (asking) return;
    const link = event.currentTarget as HTMLAnchorElement;
    ask(true);
    answers(href).then(
      () => {
        refuse(null);
        ask(false);
        sure.current = true;
        link.click();
      },
      (error: unknown) => {
        refuse(problem(error));
        ask(false);
      },
    );
  };
  return (
    <span class="download">
      <a href={href} download onClick={click} aria-busy={asking}>
        <span aria-hidden="true">⤓ </span>
        {children}
      </a>
      {refused && (
        <span class="bad captured" role="alert">
          {refused.message}
          {refused.hint && ` (${refused.hint})`}
        </span>
      )}
    </span>
  );
}

/** Throws Problem where there is no file; of one that is there nothing is kept. */
async function answers(href: string): Promise<void> {
  const ended = new AbortController();
  await streamed(href, ended.signal);
  ended.abort();
}
