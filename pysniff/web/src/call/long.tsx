// Captured text of any length in a box: its beginning, and more of it on demand; never more than a screen can bear.
import { useState } from "preact/hooks";
import { size } from "../format";
import { visible } from "./visible";

const SHORT = 400; // characters
const LONG = 20_000;

export function Long({ text, short = SHORT }: { text: string; short?: number }) {
  const [whole, setWhole] = useState(false);
  if (text.length <= short) return <span class="captured">{visible(text)}</span>;
  const shown = whole ? text.slice(0, LONG) : text.slice(0, short);
  const rest = text.length - shown.length;
  return (
    <span class={whole ? "captured long" : "captured"}>
      {visible(shown)}
      {rest > 0 && "… "}
      <button
        type="button"
        class="quiet small"
        onClick={(event) => {
          event.stopPropagation();
          setWhole(!whole);
        }}
      >
        {whole ? "less" : `${size(rest)} more`}
      </button>
      {whole && rest > 0 && <span class="faint"> {size(rest)} more are in the copy</span>}
    </span>
  );
}
