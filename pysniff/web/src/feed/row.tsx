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
  /** The column under the pointer. */
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
        {COLUMNS.map((column) => cell(column, seen, column.key === pointed))}
      </div>
    );
  }
}

function cell(column: Column, seen: Seen, pointed: boolean) {
  const asks = pointed ? column.asks?.(seen) : null;
  const look = column.look?.(seen.summary);
  return (
    <div role="gridcell" class={look ? `of-${column.key} ${look}` : `of-${column.key}`} title={column.hint?.(seen)}>
      <span class="captured">{column.shown(seen)}</span>
      {asks && (
        <Value variable={asks[0]} value={asks[1]} tabIndex={-1}>
          <span class="ask">+</span>
        </Value>
      )}
    </div>
  );
}
