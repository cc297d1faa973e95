// The hub's HTTP API (docs/api.md). What it refuses is a problem (RFC 9457), and is shown in its words.

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string,
    /** Of a filter: where, in columns from 1. */
    readonly line: number | null = null,
    readonly column: number | null = null,
  ) {
    super(message);
  }
}

type Values = Record<string, string | number | readonly string[] | null | undefined>;

/** A path with its query; what is missing, null or empty is left out. */
export function address(path: string, values: Values = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** The answer as JSON. Throws Problem, also where there is no answer (status 0). */
export async function ask<T>(url: string, options: RequestInit = {}): Promise<T> {
  return (await answer(url, options)).json() as Promise<T>;
}

/** The answer's bytes. Throws Problem. */
export async function bytes(url: string, options: RequestInit = {}): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await answer(url, options)).arrayBuffer());
}

/** The answer, of which only the head is there. Throws Problem. */
export async function answer(url: string, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "the hub does not answer", "is it still running?");
  }
  if (response.ok) return response;
  let told: Record<string, unknown> = {};
  try {
    told = await response.json();
  } catch {
    // Not a problem document: the status has to do.
  }
  const text = (name: string) => (typeof told[name] === "string" ? told[name] : "");
  const number = (name: string) => (typeof told[name] === "number" ? told[name] : null);
  throw new Problem(
    response.status,
    text("code") || String(response.status),
    text("detail") || response.statusText,
    text("hint"),
    number("line"),
    number("column"),
  );
}
