// The keys, told: keys.ts has them.
import { signal } from "@preact/signals";
import { Note } from "./note";

export const helped = signal(false);

const KEYS: [keys: string[], what: string][] = [
  [["↑", "↓"], "the call before, the next one"],
  [["PgUp", "PgDn"], "a page of calls"],
  [["Home", "End"], "the first call, the newest one"],
  [["Enter"], "into the call's pane"],
  [["Esc"], "close the pane; then leave the list"],
  [["/"], "into the filter"],
  [["f"], "follow the newest call, or not"],
  [["Space"], "pause, or go on"],
  [["c"], "compare the chosen call with the next one that is chosen"],
  [["?"], "these keys"],
];

export function Keys() {
  if (!helped.value) return null;
  return (
    <Note title="Keys" close={() => (helped.value = false)}>
      <dl class="keys">
        {KEYS.map(([keys, what]) => (
          <>
            <dt key={what}>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </>
        ))}
        <dt>Click</dt>
        <dd>chooses a call; with Ctrl or ⌘ compares it with the chosen one</dd>
        <dt>Alt-click</dt>
        <dd>on a value adds it to the filter; with Shift excludes it. The + of a cell does the same</dd>
      </dl>
    </Note>
  );
}
