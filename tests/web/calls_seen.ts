// Calls as the feed gives them, for tests of what is counted.
import type { Summary } from "../../pysniff/web/src/entry";
import type { Seen } from "../../pysniff/web/src/feed/store";

let number = 0;

/** A GET that was answered within a millisecond, but for what is told otherwise. */
export function seen(told: Partial<Summary> = {}, nodes: readonly string[] = ["n1"]): Seen {
  number += 1;
  return {
    nodes,
    summary: {
      id: `n1.1.${number}`,
      stream: "1",
      protocol: "http",
      version: "1.1",
      timestamp: "2026-11-22T11:23:28.104933000Z",
      completed: null,
      elapsed_time: 1_000,
      src: { ip: "10.0.0.7", port: 40_000 + (number % 1_000), name: "" },
      dst: { ip: "10.0.0.8", port: 80, name: "" },
      capture_source: "file",
      tls: null,
      status: "200",
      ok: true,
      summary: "GET /",
      state: "closed",
      completeness: "complete",
      faults: [],
      request_size: 0,
      response_size: 10,
      ...told,
    },
  };
}

/** "2026-11-22T11:23:28Z" plus so many seconds. */
export function at(seconds: number): string {
  return new Date(Date.parse("2026-11-22T11:23:28Z") + seconds * 1_000).toISOString().replace("Z", "000000Z");
}
