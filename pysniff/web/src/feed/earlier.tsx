// biome-ignore-all lint/a11y/useSemanticElements: a windowed list is no <table>
// biome-ignore-all lint/a11y/useFocusableInteractive: the list has the focus, and names its active row
// The line above the topmost row: what is earlier, and why it is not here.
import { count } from "../format";
import { older } from "./reception";
import { MOST } from "./ring";
import { earlier, evicted, finished } from "./store";

export function Earlier() {
  return (
    <div role="row" class="feed-earlier" aria-rowindex={2}>
      <div role="gridcell">{words()}</div>
    </div>
  );
}

function words() {
  if (evicted.value > 0) {
    return `${count(evicted.value)} earlier calls fell out: ${count(MOST)} are kept here, at most 96 MB. The workers may still have them.`;
  }
  switch (earlier.value) {
    case "asking":
      return "Earlier calls are being fetched…";
    case "more":
      return (
        <button type="button" class="quiet" tabIndex={-1} onClick={older}>
          Show earlier calls
        </button>
      );
    case "cleared":
      return (
        <button type="button" class="quiet" tabIndex={-1} onClick={older}>
          Cleared. Show earlier calls
        </button>
      );
    case "full":
      return `${count(MOST)} calls are kept here, at most 96 MB: for earlier ones narrow the filter or the time.`;
    case "none":
      return finished.value ? "The capture begins here." : "The workers have nothing earlier.";
    case "cut":
      return "The capture begins here.";
  }
}
