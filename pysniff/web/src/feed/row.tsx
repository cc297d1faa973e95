// biome-ignore-all lint/a11y/useSemanticElements: a windowed list is no <table>
// biome-ignore-all lint/a11y/useFocusableInteractive: the list has the focus, and names its active row
// One call as a line of the list. Elements are used again for other calls as the list moves; nothing is made anew.
import { Component } from "preact";
import { Value } from "../filter/value";
import { COLUMNS, type Column, outcome } from "./columns";
import type { Seen } from "./ring";

export interface RowProps {
  seen: Seen;
  /** From 1, of all that are kept. */
  index: number;
  chosen: boolean;
  compared: boolean;
  /** The column under the pointer, where it is in this row. */
  pointed: string;
}

/** The element of the chosen row: the list says that it is the active one. */
export const CHOSEN = "chosen-call";

export class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const now = this.props;
    return (
      next.seen !== now.seen ||
      next.index !== now.index ||
      next.chosen !== now.chosen ||
      next.compared !== now.compared ||
      next.pointed !== now.pointed
    );
  }

  override render({ seen, index, chosen, compared, pointed }: RowProps) {
    const ways = `feed-row was-${outcome(seen.summary)}${chosen ? " feed-chosen" : ""}${compared ? " feed-compared" : ""}`;
    return (
      <div
        role="row"
        class={ways}
        id={chosen ? CHOSEN : undefined}
        aria-rowindex={index + 1}
        aria-selected={chosen}
        data-id={seen.summary.id}
      >
        {COLUMNS.map((column) => cell(column, seen, pointed))}
      </div>
    );
  }
}

/** What a cell says when the pointer rests on it is there when the pointer is: attributes cost as much as text. */
function cell(column: Column, seen: Seen, pointed: string) {
  const asks = pointed === column.key ? column.asks?.(seen) : null;
  const look = column.look?.(seen.summary);
  return (
    <div
      role="gridcell"
      class={look ? `captured of-${column.key} ${look}` : `captured of-${column.key}`}
      title={pointed ? column.hint?.(seen) : undefined}
    >
      {column.shown(seen)}
      {asks && (
        <Value variable={asks[0]} value={asks[1]} tabIndex={-1}>
          +
        </Value>
      )}
    </div>
  );
}
