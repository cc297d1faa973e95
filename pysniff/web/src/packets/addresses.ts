// Where the hub gives packets: of a call, of its connection, of a question.
import { address } from "../api";
import type { Entry } from "../entry";

export function ofCall(entry: Entry): string {
  return address(`/api/entries/${encodeURIComponent(entry.id)}/pcap`);
}

/** Every packet of the connection, handshake and acknowledgements too. */
export function ofStream(entry: Entry): string {
  return address("/api/pcap", { stream: entry.stream, node: node(entry.id) });
}

/** The node that an id begins with: a connection's name is that node's own. */
export function node(id: string): string {
  return id.split(".").slice(0, -2).join(".");
}
