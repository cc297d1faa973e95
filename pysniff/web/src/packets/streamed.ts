// An answer of the hub of which the beginning is used before its end is there. api.ts has those that come whole.
import { Problem } from "../api";

/** Throws Problem where the hub refuses. */
export async function streamed(url: string, signal: AbortSignal): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Problem(0, "unreachable", "the hub does not answer", "is it still running?");
  }
  if (response.ok && response.body) return response.body.getReader();
  const told: Record<string, unknown> = await response.json().catch(() => ({}));
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
