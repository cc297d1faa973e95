// The call in other words, on the clipboard: curl and HAR as `pysniff -o` writes them, JSON as the API does.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { address, bytes, Problem } from "../api";
import { say } from "../shell/say";
import { toClipboard } from "./clipboard";
import { type Full, tree } from "./loaded";
import { written } from "./tree/node";

const WAYS = [
  ["curl", "curl command"],
  ["har", "HAR"],
  ["json", "JSON"],
  ["id", "Id"],
  ["link", "Link to this page"],
] as const;
type Way = (typeof WAYS)[number][0];

export function CopyMenu({ full }: { full: Full }) {
  const [open, setOpen] = useState(false);
  const [told, tell] = useState<{ text: string; problem: boolean } | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const { protocol } = full.entry;
  const ways = WAYS.filter(([way]) => (way !== "curl" && way !== "har") || protocol === "http" || protocol === "grpc");
  useEffect(() => tell(null), [full]);
  useLayoutEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => {
      if (!box.current?.contains(event.target as globalThis.Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    box.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  const copy = async (way: Way) => {
    close();
    tell(null);
    try {
      const text = await words(way, full);
      if (await toClipboard(text)) say(`copied as ${way}`);
      else tell({ text, problem: false });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      tell({ text: error.hint ? `${error.message} (${error.hint})` : error.message, problem: true });
    }
  };
  const key = (event: KeyboardEvent) => {
    const items = [...(box.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key !== "Escape" && event.key !== "Tab" && to === undefined) return;
    event.stopPropagation();
    if (to === undefined) {
      if (event.key === "Escape") event.preventDefault();
      close();
      return;
    }
    event.preventDefault();
    items.at(to % items.length)?.focus();
  };
  return (
    <div class="copy-box" ref={box}>
      <button
        type="button"
        class="action"
        ref={button}
        aria-haspopup="menu"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        Copy ▾
      </button>
      {open && (
        <div class="copy-menu" role="menu" aria-label="Copy as" tabIndex={-1} onKeyDown={key}>
          {ways.map(([way, name]) => (
            <button type="button" key={way} role="menuitem" tabIndex={-1} onClick={() => copy(way)}>
              {name}
            </button>
          ))}
        </div>
      )}
      {told && (
        <div
          class="copy-menu copy-told"
          role="alertdialog"
          aria-label={told.problem ? "Not copied" : "Copy it by hand"}
        >
          <p>{told.problem ? told.text : "The browser does not allow it here. Copy it by hand:"}</p>
          {!told.problem && (
            <textarea readOnly rows={8} value={told.text} onFocus={(event) => event.currentTarget.select()} />
          )}
          <button type="button" onClick={() => tell(null)}>
            Close
          </button>
        </div>
      )}
    </div>
  );
}

async function words(way: Way, full: Full): Promise<string> {
  const { entry, limit } = full;
  switch (way) {
    case "id":
      return entry.id;
    case "link":
      return location.href;
    case "json": {
      const root = tree(full);
      return root ? written(root) : full.text;
    }
    default: {
      const url = address(`/api/entries/${encodeURIComponent(entry.id)}`, { as: way, body_limit: limit });
      return new TextDecoder().decode(await bytes(url));
    }
  }
}
