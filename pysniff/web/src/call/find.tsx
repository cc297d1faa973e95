// Words to look for in one body: enter goes to the next place, shift and enter to the one before.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { count } from "../format";

interface FindProps {
  label: string;
  words: string;
  found: number;
  onWords: (words: string) => void;
  onGo: (number: number) => void;
}

const WAIT = 120; // milliseconds after the last key, so that a megabyte is not looked through for each

export function Find({ label, words, found, onWords, onGo }: FindProps) {
  const [typed, setTyped] = useState(words);
  const [at, setAt] = useState(-1);
  useEffect(() => {
    const timer = setTimeout(() => typed !== words && onWords(typed), WAIT);
    return () => clearTimeout(timer);
  }, [typed]);
  const entered = useRef(false);
  useLayoutEffect(() => {
    setAt(-1);
    // Enter was quicker than the search.
    if (!entered.current || !words) return;
    entered.current = false;
    go(1, -1);
  }, [words]);
  const go = (by: number, from = at) => {
    if (!found) return;
    const next = from < 0 ? (by > 0 ? 0 : found - 1) : (from + by + found) % found;
    setAt(next);
    onGo(next);
  };
  return (
    <span class="find">
      <input
        type="search"
        placeholder="find"
        aria-label={label}
        value={typed}
        spellcheck={false}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={(event) => {
          // What is typed here is for nobody else.
          if (event.key !== "Escape" || typed) event.stopPropagation();
          if (event.key === "Enter" && typed !== words) {
            entered.current = true;
            onWords(typed);
          } else if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
          if (event.key === "Escape") setTyped("");
        }}
      />
      {words && (
        <span class="faint" role="status">
          {found ? `${at < 0 ? "" : `${count(at + 1)} of `}${count(found)}` : "nowhere"}
        </span>
      )}
    </span>
  );
}
