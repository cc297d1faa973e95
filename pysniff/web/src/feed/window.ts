// Which rows of a long list are drawn, and where the list is scrolled to: numbers alone.
//
// A line above the rows says what is earlier, so that rows begin one height below the top. While nothing is followed the
// row at the top of the view stays there, whatever comes or falls out above and below.

export interface View {
  /** Rows are those from `first` up to `end`. */
  first: number;
  end: number;
  /** Height of the rows' part of the view, and of a row; pixels. */
  height: number;
  row: number;
}

export interface Drawn {
  scroll: number;
  from: number;
  to: number;
}

const BEYOND = 6; // rows that are drawn above and below, for scrolling ahead of us

export function contentHeight(view: View): number {
  return (view.end - view.first + 1) * view.row;
}

/** How far it can be scrolled. */
export function lowest(view: View): number {
  return Math.max(0, contentHeight(view) - view.height);
}

/** The position, with a fraction, at the view's top. */
export function positionAt(scroll: number, view: View): number {
  return view.first - 1 + scroll / view.row;
}

/** `top`: the position at the top, null for the end of the list. */
export function drawn(top: number | null, view: View): Drawn {
  const wanted = top === null ? Number.POSITIVE_INFINITY : (top - view.first + 1) * view.row;
  const scroll = Math.min(Math.max(0, wanted), lowest(view));
  const position = Math.floor(positionAt(scroll, view));
  const shown = Math.ceil(view.height / view.row) + 1;
  return {
    scroll,
    from: Math.max(view.first, position - (top === null ? 0 : BEYOND)),
    to: Math.min(view.end, position + shown + BEYOND),
  };
}

/** The top that shows a row whole, moved as little as can be; `top` where it is shown. */
export function shows(position: number, top: number | null, view: View): number | null {
  const now = positionAt(drawn(top, view).scroll, view);
  const last = now + view.height / view.row - 1;
  // The line above belongs to the first one.
  if (position < now) return position === view.first ? position - 1 : position;
  if (position > last) return position - view.height / view.row + 1;
  return top === null ? now : top;
}

/** Rows that are below the view. */
export function below(top: number | null, view: View): number {
  if (top === null) return 0;
  const last = positionAt(drawn(top, view).scroll, view) + view.height / view.row;
  return Math.max(0, view.end - Math.ceil(last - 0.01));
}
