// The time range: the last minutes, all, or from a moment to another. Shown in local time; the address has UTC.
import { useSignal } from "@preact/signals";
import { from, to } from "../address";
import { Popover } from "./popover";
import { inWords, local, PRESETS, set, universal } from "./time";

export function Range() {
  const words = inWords(from.value, to.value);
  return (
    <Popover
      name="range"
      title={`Time range: ${words}`}
      label={
        <>
          <span aria-hidden="true">◷</span> {words}
        </>
      }
    >
      {(close) => (
        <>
          <fieldset class="range-presets">
            <legend class="hidden">Calls that began</legend>
            {PRESETS.map(({ words, ago }) => (
              <button
                type="button"
                key={ago}
                aria-pressed={from.value === ago && to.value === ""}
                onClick={() => {
                  set(ago, "");
                  close();
                }}
              >
                {words}
              </button>
            ))}
          </fieldset>
          <Moments onDone={close} />
        </>
      )}
    </Popover>
  );
}

function Moments({ onDone }: { onDone: () => void }) {
  const first = useSignal(local(from.value));
  const last = useSignal(local(to.value));
  const problem = useSignal("");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const use = (event: Event) => {
    event.preventDefault();
    const [start, end] = [universal(first.value), universal(last.value)];
    if (start === "" && end === "") problem.value = "Give one of them.";
    else if (start !== "" && end !== "" && start > end) problem.value = "It ends before it begins.";
    else {
      set(start, end);
      onDone();
    }
  };
  return (
    <form class="range-moments" onSubmit={use} noValidate>
      <Moment words="From" value={first.value} onValue={(text) => (first.value = text)} />
      <Moment words="To" value={last.value} onValue={(text) => (last.value = text)} />
      <p class="faint">Calls that began then, time zone {zone}. One may stay empty.</p>
      {problem.value && (
        <p class="filter-wrong" role="alert">
          {problem.value}
        </p>
      )}
      <button type="submit" class="main">
        Use
      </button>
    </form>
  );
}

function Moment({ words, value, onValue }: { words: string; value: string; onValue: (text: string) => void }) {
  return (
    <label>
      {words}
      <input type="datetime-local" step="1" value={value} onInput={(event) => onValue(event.currentTarget.value)} />
    </label>
  );
}
