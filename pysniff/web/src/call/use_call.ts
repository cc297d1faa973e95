// The call that is looked at: fetched, and fetched again when the feed tells a later revision of it.
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { Problem } from "../api";
import type { Entry, Summary } from "../entry";
import { listen } from "../feed/store";
import { BODY, type Full, LARGEST_BODY, load, recent } from "./loaded";

export interface Looked {
  /** Perhaps still the one before: of `full.entry.id`. */
  full: Full | null;
  problem: Problem | null;
  loading: boolean;
  /** Ask again. */
  again: () => void;
  /** Ask for more of its bodies. */
  more: () => void;
}

const PACE = 1_000; // milliseconds between two questions for a call that changes all the time
const STALE = 300; // milliseconds for which the call before stays in sight, so that going through a list does not flicker

/** Whether the feed tells another revision than the one that was fetched: of an open call each one has moved on. */
function isOther(told: Summary, fetched: Entry): boolean {
  return told.state === "open" || told.state !== fetched.state || told.completed !== fetched.completed;
}

// What is at hand of a call that has gone on since is no longer right, whoever looks at it next.
listen((calls) => {
  if (!recent.count) return;
  for (const { summary } of calls) {
    const had = recent.peek(summary.id);
    if (had && isOther(summary, had.entry)) recent.drop(summary.id);
  }
});

export function useCall(id: string): Looked {
  const [state, setState] = useState<{ full: Full | null; problem: Problem | null }>({ full: null, problem: null });
  const [limit, setLimit] = useState(BODY);
  const [round, setRound] = useState(0);
  const [asking, setAsking] = useState(true);
  const [told, tell] = useState<Summary | null>(null);

  useEffect(() => setLimit(BODY), [id]);
  // Before the next frame: until then the call before would pass for this one.
  useLayoutEffect(() => {
    if (!id) {
      setState({ full: null, problem: null });
      setAsking(false);
      return;
    }
    const had = recent.get(id, limit);
    if (had) setState({ full: had, problem: null });
    if (had?.entry.state === "closed") {
      setAsking(false);
      return;
    }
    const abort = new AbortController();
    const forget = setTimeout(() => {
      setState((now) => (now.full?.entry.id === id ? now : { full: null, problem: null }));
    }, STALE);
    setAsking(true);
    load(id, limit, abort.signal)
      .then(
        (full) => setState({ full, problem: null }),
        (error: unknown) => {
          if (abort.signal.aborted) return;
          if (!(error instanceof Problem)) throw error;
          setState((now) => ({ full: now.full?.entry.id === id ? now.full : null, problem: error }));
        },
      )
      .finally(() => {
        clearTimeout(forget);
        if (!abort.signal.aborted) setAsking(false);
      });
    return () => {
      clearTimeout(forget);
      abort.abort();
    };
  }, [id, limit, round]);

  useLayoutEffect(
    () =>
      listen((calls) => {
        const found = calls.find(({ summary }) => summary.id === id);
        if (found) tell(found.summary);
      }),
    [id],
  );
  // Also what was told while the call was on its way: what comes then may be older.
  const entry = state.full?.entry.id === id ? state.full.entry : null;
  useEffect(() => {
    if (!entry || told?.id !== id || !isOther(told, entry)) return;
    const timer = setTimeout(
      () => {
        tell(null);
        recent.drop(id);
        setRound((now) => now + 1);
      },
      told.state === "open" ? PACE : 0,
    );
    return () => clearTimeout(timer);
  }, [told, entry]);

  return {
    ...state,
    loading: asking,
    again: () => setRound((now) => now + 1),
    more: () => setLimit(LARGEST_BODY),
  };
}
