// application/x-www-form-urlencoded as names and values.
import type { Pair } from "../../entry";

export const FIELDS = 2_000;

/** The fields, and how many more there are. */
export function form(text: string): { pairs: Pair[]; more: number } {
  const pieces = text.trim().split("&");
  const pairs = pieces
    .slice(0, FIELDS)
    .filter(Boolean)
    .map((piece): Pair => {
      const at = piece.indexOf("=");
      return at < 0 ? [decoded(piece), ""] : [decoded(piece.slice(0, at)), decoded(piece.slice(at + 1))];
    });
  return { pairs, more: Math.max(0, pieces.length - FIELDS) };
}

function decoded(text: string): string {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced; // a % that is none: as it was sent
  }
}
