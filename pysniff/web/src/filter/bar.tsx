// The filter bar: what is asked, when, and of which protocols. On narrow screens all but the input is behind a button.
import { useSignal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { filter } from "../address";
import { begin as count } from "./counts";
import { begin as followFilter } from "./draft";
import { FilterInput } from "./input";
import { Legend } from "./legend";
import { Range } from "./range";
import { SavedFilters } from "./savedlist";
import { begin as collectValues } from "./values";

export function FilterBar() {
  const more = useSignal(false);
  // Not behind the first frame: what the address says would replace what is typed by then.
  useLayoutEffect(() => {
    const ends = [followFilter(), collectValues(), count()];
    return () => {
      for (const end of ends) end();
    };
  }, []);
  return (
    <search class="filter-bar" aria-label="Filter">
      <FilterInput />
      {filter.value !== "" && (
        <button
          type="button"
          class="filter-clear quiet"
          aria-label="Clear the filter"
          title="Clear the filter"
          onClick={() => {
            filter.value = "";
          }}
        >
          ✕
        </button>
      )}
      <button
        type="button"
        class="filter-more"
        aria-label="Time range, saved filters, protocols"
        aria-expanded={more.value}
        aria-controls="filter-rest"
        onClick={() => {
          more.value = !more.value;
        }}
      >
        ⋯
      </button>
      <div class={more.value ? "filter-rest shown" : "filter-rest"} id="filter-rest">
        <Range />
        <SavedFilters />
        <Legend />
      </div>
    </search>
  );
}
