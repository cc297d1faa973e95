// The star: gives the filter a name, and lists the saved ones and those that were asked before.
import { useSignal } from "@preact/signals";
import { filter } from "../address";
import { forget, past, remember } from "./history";
import { Popover } from "./popover";
import { remove, rename, type Saved, save, saved } from "./saved";

const SHOWN = 20; // of the history; the arrow keys in the empty input have all

export function SavedFilters() {
  const mine = saved.value.find((one) => one.filter === filter.value && filter.value !== "");
  return (
    <Popover
      name="saved"
      title={mine ? `Saved filters; this one is ${mine.name}` : "Saved filters and history"}
      label={<span aria-hidden="true">{mine ? "★" : "☆"}</span>}
    >
      {(close) => {
        const use = (text: string) => {
          remember(text);
          filter.value = text;
          close();
        };
        return (
          <>
            {filter.value && !mine && <Save />}
            <h2>Saved</h2>
            {saved.value.length === 0 && <p class="faint">None yet. Ask for a filter, then give it a name here.</p>}
            <ul>
              {saved.value.map((one) => (
                <Row key={one.name} one={one} onUse={use} />
              ))}
            </ul>
            <div class="saved-head">
              <h2>History</h2>
              {past.value.length > 0 && (
                <button type="button" class="quiet" onClick={forget}>
                  Forget all
                </button>
              )}
            </div>
            {past.value.length === 0 && <p class="faint">What you ask for will be here.</p>}
            <ul>
              {past.value.slice(0, SHOWN).map((text) => (
                <li key={text}>
                  <button type="button" class="saved-use mono captured" title={text} onClick={() => use(text)}>
                    {text}
                  </button>
                </li>
              ))}
            </ul>
          </>
        );
      }}
    </Popover>
  );
}

function Save() {
  const name = useSignal("");
  const problem = useSignal("");
  return (
    <form
      class="saved-form"
      onSubmit={(event) => {
        event.preventDefault();
        problem.value = save(name.value, filter.value);
      }}
    >
      <input
        type="text"
        aria-label="Name for this filter"
        placeholder="Name for this filter"
        maxLength={80}
        value={name.value}
        onInput={(event) => {
          name.value = event.currentTarget.value;
        }}
      />
      <button type="submit" class="main">
        Save
      </button>
      {problem.value && (
        <p class="filter-wrong" role="alert">
          {problem.value}
        </p>
      )}
    </form>
  );
}

function Row({ one, onUse }: { one: Saved; onUse: (filter: string) => void }) {
  const renaming = useSignal(false);
  const problem = useSignal("");
  const finish = (name: string) => {
    problem.value = rename(one.name, name);
    if (problem.value === "") renaming.value = false;
  };
  if (renaming.value) {
    return (
      <li class="saved-row">
        <input
          type="text"
          aria-label={`New name for ${one.name}`}
          maxLength={80}
          defaultValue={one.name}
          ref={(input) => input?.focus()}
          onKeyDown={(event) => {
            if (event.key !== "Enter" && event.key !== "Escape") return;
            event.preventDefault();
            event.stopPropagation();
            if (event.key === "Enter") finish(event.currentTarget.value);
            else renaming.value = false;
          }}
          onBlur={(event) => finish(event.currentTarget.value)}
        />
        {problem.value && (
          <p class="filter-wrong" role="alert">
            {problem.value}
          </p>
        )}
      </li>
    );
  }
  return (
    <li class="saved-row">
      <button type="button" class="saved-use" title={one.filter} onClick={() => onUse(one.filter)}>
        {one.name} <span class="mono faint captured">{one.filter}</span>
      </button>
      <button
        type="button"
        class="quiet"
        aria-label={`Rename ${one.name}`}
        title="Rename"
        onClick={() => {
          renaming.value = true;
        }}
      >
        ✎
      </button>
      <button
        type="button"
        class="quiet"
        aria-label={`Delete ${one.name}`}
        title="Delete"
        onClick={() => remove(one.name)}
      >
        ✕
      </button>
    </li>
  );
}
