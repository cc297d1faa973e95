// What the hub says of the filter, below the bar: where it is wrong and what was perhaps meant, or what it costs.
import type { Checked, Meaning } from "./check";
import { isPlain } from "./highlight";
import { offset, tokens } from "./tokens";

export const VERDICT = "filter-verdict";

/** Offset in the text of what the hub refuses; -1 where it refuses nothing. */
export function wrongAt({ text, problem }: Checked): number {
  if (problem?.code !== "filter") return -1;
  return offset(text, problem.line ?? 1, problem.column ?? 1);
}

export function Verdict({ checked, onMend }: { checked: Checked; onMend: (text: string) => void }) {
  const { text, problem, meaning } = checked;
  if (problem) {
    const at = wrongAt(checked);
    const mended = at < 0 ? null : mend(text, at, problem.hint);
    return (
      <div class="filter-error" id={VERDICT} role="status">
        <span class="filter-said captured">{problem.message}</span>
        {problem.hint && <span class="filter-hint captured">{problem.hint}</span>}
        {mended !== null && (
          <button type="button" class="filter-mend" onClick={() => onMend(mended)}>
            Change it
          </button>
        )}
        {at >= 0 && !isPlain(text) && <pre class="filter-excerpt captured">{excerpt(text, at)}</pre>}
      </div>
    );
  }
  return (
    <div class="filter-cost" id={VERDICT}>
      {meaning && <Cost meaning={meaning} />}
    </div>
  );
}

/** Whether stored conversations that cannot match are left out, or all of them must be dissected. */
function Cost({ meaning: { index, dissected } }: { meaning: Meaning }) {
  const times = index.start || index.end ? "the times and " : "";
  if (index.condition && dissected.length === 0) return <>The index decides this; only what may match is dissected.</>;
  const unknown = dissected.length > 3 ? `${dissected.length} variables` : dissected.join(", ");
  if (index.condition) {
    return (
      <>
        The index decides {times}
        <code>{index.condition}</code>; calls of these conversations are dissected for <code>{unknown}</code>.
      </>
    );
  }
  if (times) return <>The index decides the times; every call in them is dissected{unknown && ` for ${unknown}`}.</>;
  if (!unknown) return <>The index leaves nothing out: every stored call is dissected.</>;
  return (
    <>
      The index does not know <code>{unknown}</code>: every stored call is dissected.
    </>
  );
}

/** The filter with the word there replaced by what the hub thinks was meant. */
export function mend(text: string, at: number, hint: string): string | null {
  const meant = /^did you mean ([\w.]+)\?$/.exec(hint)?.[1];
  const word = /^[\w.]+/.exec(text.slice(at))?.[0];
  if (!meant || !word || !tokens(text).some((token) => token.at === at && token.kind === "name")) return null;
  return text.slice(0, at) + meant + text.slice(at + word.replace(/\.+$/, "").length);
}

const AROUND = 40;

/** Some of the text before and behind the place, and a caret below it. */
function excerpt(text: string, at: number): string {
  const start = Math.max(0, at - AROUND);
  return `${text.slice(start, at + AROUND)}\n${" ".repeat(at - start)}^`;
}
