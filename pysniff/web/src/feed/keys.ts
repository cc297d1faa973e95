// Keys that work wherever one is, but not while typing, nor where an element has a use for them itself.
import { call, compared, view } from "../address";
import { choose, follow, move, page, unchoose } from "./choice";
import { helped } from "./help";
import { following, paused } from "./store";

const TYPING = "input, textarea, select, [contenteditable]:not([contenteditable=false])";
// Enter and Space press these, arrows move in these.
const PRESSED = "button, a[href], summary, [role=tab], [role=button], [role=treeitem], [role=option], [role=separator]";
const MOVES: Record<string, () => number> = {
  ArrowUp: () => -1,
  ArrowDown: () => 1,
  PageUp: () => -page(),
  PageDown: page,
  Home: () => Number.NEGATIVE_INFINITY,
  End: () => Number.POSITIVE_INFINITY,
};

export function listenToKeys(): () => void {
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}

function pressed(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const on = event.target instanceof Element ? event.target : document.body;
  if (on.closest(TYPING) || document.querySelector("dialog[open]")) return;
  const action = meant(event.key, on);
  if (!action) return;
  event.preventDefault();
  action();
}

function meant(key: string, on: Element): (() => void) | null {
  switch (key) {
    case "/":
      return () => document.getElementById("filter")?.focus();
    case "f":
      return () => follow(!following.value);
    case "?":
      return () => {
        helped.value = true;
      };
    case " ":
      return on.closest(PRESSED) ? null : () => (paused.value = !paused.value);
    case "Escape":
      return leave(on);
    case "c":
      return call.value ? compareNext : null;
  }
  // The rest is about the list.
  if (
    view.value !== "calls" ||
    (on !== document.body && !on.closest(".feed, .top, .views")) ||
    on.closest(".pane.second")
  )
    return null;
  if (key === "Enter") return on.closest(PRESSED) || !call.value ? null : enter;
  const by = MOVES[key];
  return by && !on.closest("[role=separator], [role=tablist]") ? () => move(by()) : null;
}

/** Close the pane; then leave the list. */
function leave(on: Element): (() => void) | null {
  if (call.value)
    return () => {
      unchoose();
      compared.value = "";
      document.getElementById("calls")?.focus({ preventScroll: true });
    };
  return on instanceof HTMLElement && on !== document.body ? () => on.blur() : null;
}

/** Into the pane of the chosen call. */
function enter(): void {
  const pane = document.querySelector<HTMLElement>(".pane.second");
  const tab = pane?.querySelector<HTMLElement>("[role=tab][aria-selected=true]");
  (tab ?? pane?.querySelector<HTMLElement>("button, a[href], [tabindex='0']"))?.focus();
}

/** What is chosen is compared with what is chosen next. */
function compareNext(): void {
  compared.value = compared.value ? "" : call.value;
  choose(call.value);
}
