// The calls of one connection, asked on a WebSocket of their own (docs/api.md): the newest ones, and then the end.
import { decodeMulti } from "@msgpack/msgpack";
import { Problem } from "../api";
import type { Entry, Summary } from "../entry";
import { told } from "../feed/messages";
import { clause } from "../filter/clauses";
import { leave, toEntries } from "../socket";
import { node } from "./addresses";

/** Calls of a connection that are shown. */
export const MOST_CALLS = 500;

export interface Calls {
  /** From the oldest to the newest. */
  calls: Summary[];
  /** There may be older ones. */
  more: boolean;
  /** What the hub said beside them: a node that is away, or failed. */
  notes: string[];
}

/** Throws Problem where the hub refuses, or the connection ends before the answer does. */
export function callsOf(entry: Entry, signal: AbortSignal): Promise<Calls> {
  const question = {
    filter: clause("stream", entry.stream),
    nodes: [node(entry.id)],
    newest_first: true,
    limit: MOST_CALLS,
  };
  return new Promise((done, fail) => {
    const socket = toEntries();
    socket.binaryType = "arraybuffer";
    const calls: Summary[] = [];
    const notes: string[] = [];
    const end = (result: () => void) => {
      leave(socket);
      result();
    };
    signal.addEventListener("abort", () => end(() => fail(signal.reason)), { once: true });
    socket.onopen = () => socket.send(JSON.stringify(question));
    socket.onclose = () => fail(new Problem(0, "unreachable", "the hub does not answer", "is it still running?"));
    socket.onmessage = ({ data }) => {
      const message = told(data);
      switch (message.type) {
        case "batch":
          for (const one of decodeMulti(message.entries)) calls.push(one as Summary);
          break;
        case "status":
          if (message.severity !== "info") notes.push([message.node, message.text].filter(Boolean).join(": "));
          break;
        case "error":
          end(() => fail(new Problem(0, message.code, message.message, message.hint)));
          break;
        case "end": {
          const more = calls.length >= MOST_CALLS;
          end(() => done({ calls: calls.reverse(), more, notes }));
        }
      }
    };
  });
}
