// A click on a part of the map or of the figures: the filter lets only its calls through, with shift all but those.
import { batch } from "@preact/signals";
import { add } from "../filter/clauses";

export function narrow(clauses: readonly string[], exclude: boolean): void {
  if (!clauses.length) return;
  batch(() => {
    if (exclude) add(`!(${clauses.join(" && ")})`);
    else for (const clause of clauses) add(clause);
  });
}
