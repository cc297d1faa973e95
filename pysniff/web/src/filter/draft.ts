// What stands in the filter bar while it is typed; the address has what is asked. Another question, or Escape, replaces
// it, and a filter that was typed and never asked goes to the history then, where it is found again.
import { effect, signal, untracked } from "@preact/signals";
import { filter } from "../address";
import { type Checked, check, checked, checkSoon } from "./check";
import { oneLine } from "./clauses";
import { remember } from "./history";

export const draft = signal(oneLine(filter.peek()));
/** Somebody is typing: an error that is only an unfinished word waits until this is over. */
export const typing = signal(false);

const PAUSE = 1_200; // ms
let pause: ReturnType<typeof setTimeout> | undefined;
let asked = draft.peek();

export function begin(): () => void {
  return effect(() => {
    const text = oneLine(filter.value);
    untracked(() => replace(text));
  });
}

function replace(text: string): void {
  const { value } = draft;
  const compiles = checked.value.text === value && checked.value.meaning !== null;
  if (compiles && value !== asked && value !== text) remember(value);
  asked = text;
  draft.value = text;
  settle();
  void check(text);
}

/** Back to what is asked. */
export function revert(): void {
  replace(asked);
}

export function type(text: string): void {
  draft.value = text;
  checkSoon(text);
  typing.value = true;
  clearTimeout(pause);
  pause = setTimeout(settle, PAUSE);
}

export function settle(): void {
  clearTimeout(pause);
  typing.value = false;
}

/** Ask for it, unless it is no filter: then what is shown stays, and the error says why. */
export async function ask(): Promise<void> {
  settle();
  const text = draft.value.trim();
  const found: Checked | null = await check(text);
  if (found === null || found.problem?.code === "filter") return;
  remember(text);
  asked = draft.value = text;
  filter.value = text;
}
