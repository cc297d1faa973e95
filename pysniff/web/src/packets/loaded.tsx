// Something that is asked of the hub while it is looked at: on its way, here, or refused in the hub's words.
import { useEffect, useState } from "preact/hooks";
import { Problem } from "../api";

export type Loaded<T> = { state: "loading" } | { state: "here"; value: T } | { state: "refused"; problem: Problem };

/** What was asked last, for who comes back to it: one connection has many calls. One value is kept. */
export interface Last<T> {
  key: string;
  value: T | null;
}

/** Asked again where `key` changes, and by what is returned; what is no longer looked at is called off. */
export function useLoaded<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  last: Last<T> = { key: "", value: null },
): [Loaded<T>, () => void] {
  const kept: Loaded<T> =
    last.value !== null && last.key === key ? { state: "here", value: last.value } : { state: "loading" };
  const [loaded, set] = useState<Loaded<T>>(kept);
  const [round, next] = useState(0);
  // Not everything that is used: `key` stands for `load`, which is another one each time
  useEffect(() => {
    if (round === 0 && kept.state === "here") {
      set(kept);
      return;
    }
    const ended = new AbortController();
    set({ state: "loading" });
    load(ended.signal).then(
      (value) => {
        if (ended.signal.aborted) return;
        Object.assign(last, { key, value });
        set({ state: "here", value });
      },
      (error: unknown) => !ended.signal.aborted && set({ state: "refused", problem: problem(error) }),
    );
    return () => ended.abort();
  }, [key, round]);
  return [loaded, () => next(round + 1)];
}

/** What went wrong, in words: a mistake of the page's own is one, too. */
export function problem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "page", error instanceof Error ? error.message : String(error), "this is a bug of the page");
}

export function Refusal({ problem, again }: { problem: Problem; again?: () => void }) {
  return (
    <div class="refusal" role="alert">
      <p class="captured">{problem.message}</p>
      {problem.hint && <p class="faint captured">{problem.hint}</p>}
      {again && (
        <button type="button" onClick={again}>
          Ask again
        </button>
      )}
    </div>
  );
}

export function AskAgain({ again }: { again: () => void }) {
  return (
    <button type="button" class="quiet ask-again" onClick={again} aria-label="Ask again" title="Ask again">
      ↻
    </button>
  );
}
