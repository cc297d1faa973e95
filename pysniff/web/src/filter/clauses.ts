// Filters made by clicking: a clause for a value, and a clause added to a filter.

export type Scalar = string | number | boolean;

/** `variable == value` in KFL, quoted as it must be. */
export function clause(variable: string, value: Scalar, exclude = false): string {
  const literal = typeof value === "string" ? JSON.stringify(value) : String(value);
  return `${variable} ${exclude ? "!=" : "=="} ${literal}`;
}

/** Ask for that too: the filter with one more condition. */
export function add(_clause: string): void {}
