// Links to pcapng files of the hub. What the hub refuses is said beside the link, not by a browser's failed download.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { filter, from, to } from "../address";
import type { Problem } from "../api";
import { ofQuestion } from "./addresses";
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

/** Packets of what is asked now: a menu for the top bar. */
export function DownloadMenu() {
  const box = useRef<HTMLDetailsElement>(null);
  const close = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !box.current?.open) return;
    event.stopPropagation();
    box.current.open = false;
    box.current.querySelector("summary")?.focus();
  };
  const time = [from.value && `from ${from.value}`, to.value && `to ${to.value}`].filter(Boolean).join(" ");
  const of = time ? ` ${time}` : " of all time that is stored";
  return (
    <details class="download-menu" ref={box} onKeyDown={close}>
      <summary title="Download packets as pcapng">
        <span aria-hidden="true">⤓</span> pcapng
      </summary>
      <div class="download-choices">
        {filter.value.trim() && (
          <p>
            <Download href={ofQuestion(filter.value, from.value, to.value)}>Packets of the calls that match</Download>
            <span class="faint mono captured">{filter.value}</span>
          </p>
        )}
        <p>
          <Download href={ofQuestion("", from.value, to.value)}>Every packet</Download>
          <span class="faint captured">{of}</span>
        </p>
      </div>
    </details>
  );
}

/** Throws Problem where there is no file; of one that is there nothing is kept. */
async function answers(href: string): Promise<void> {
  const ended = new AbortController();
  await streamed(href, ended.signal);
  ended.abort();
}
