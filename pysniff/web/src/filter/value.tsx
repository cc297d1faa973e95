// A value that can be clicked anywhere: adds it to the filter; with shift it is excluded.
import type { ComponentChildren } from "preact";
import { add, clause, type Scalar } from "./clauses";

export function Value({
  variable,
  value,
  children,
}: {
  variable: string;
  value: Scalar;
  children?: ComponentChildren;
}) {
  return (
    <button
      type="button"
      class="value captured"
      title={`${clause(variable, value)} (shift: exclude)`}
      onClick={(event) => {
        event.stopPropagation();
        add(clause(variable, value, event.shiftKey));
      }}
    >
      {children ?? String(value)}
    </button>
  );
}
