// Short confirmations ("copied"), seen for a moment and read out: `say("copied")` from anywhere.
import { signal } from "@preact/signals";

const SHOWN = 2_500; // milliseconds
const text = signal("");
let timer = 0;

export function say(words: string): void {
  text.value = words;
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    text.value = "";
  }, SHOWN);
}

export function Said() {
  return (
    <div class="said" role="status" aria-live="polite">
      {text.value && <span>{text.value}</span>}
    </div>
  );
}
