// A value that can be clicked anywhere: adds it to the filter; with shift it is excluded.
import type { ComponentChildren } from "preact";
import { inLine } from "../call/visible";
import { add, clause, type Scalar } from "./clauses";

const TITLE = 200; // characters of a value that its title shows

export function Value({
  variable,
  value,
  children,
  tabIndex,
}: {
  variable: string;
  value: Scalar;
  children?: ComponentChildren;
  /** -1 in tables, where hundreds of stops would be in the way of the keyboard. */
  tabIndex?: number;
}) {
  const choose = (event: MouseEvent | KeyboardEvent) => {
    event.preventDefault();
    event.stopPropagation();
    add(clause(variable, value, event.shiftKey));
  };
  return (
    <button
      type="button"
      class="value captured"
      tabIndex={tabIndex}
      title={title(clause(variable, value))}
      onClick={choose}
      // Shift and Enter is no click in every browser; a click that Enter made would come twice.
      onKeyDown={(event) => event.key === "Enter" && choose(event)}
    >
      {children ?? inLine(String(value))}
    </button>
  );
}

function title(text: string): string {
  const shown = text.length > TITLE ? `${text.slice(0, TITLE)}…` : text;
  return `Filter: ${inLine(shown)}\nWith shift: exclude it`;
}
