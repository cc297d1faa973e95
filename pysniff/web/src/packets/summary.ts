// A packet's line in the list.
import type { Facts } from "./terms";
import { FLAGS } from "./terms";
import { type Bases, relative, words } from "./transport";

const PREVIEW = 60;

/** "PSH ACK seq=1 len=94 ack=1 win=502  GET /pay HTTP/1.1". */
export function info(facts: Facts, data: Uint8Array, bases: Bases | null): string {
  const { tcp, payload, fragment } = facts;
  const first = fragment && !facts.note ? "first fragment: " : "";
  if (tcp !== null && bases !== null) {
    const ack = tcp.flags & FLAGS.ACK ? ` ack=${relative(tcp.ack, bases.ack)}` : "";
    const line = `${words(tcp.flags)} seq=${relative(tcp.seq, bases.seq)} len=${tcp.length}${ack} win=${tcp.window}`;
    return `${first}${line}${preview(facts, data)}`;
  }
  if (payload !== null)
    return `${first}${facts.srcPort} → ${facts.dstPort} len=${payload.length}${preview(facts, data)}`;
  return facts.note;
}

/** The first line of the payload, where it is text. */
function preview(facts: Facts, data: Uint8Array): string {
  if (facts.payload === null) return "";
  let text = "";
  for (let at = facts.payload.from; at < facts.payload.to && text.length < PREVIEW; at++) {
    const byte = data[at] as number;
    if (byte === 10 || byte === 13) break;
    if (byte < 32 || byte > 126) return "";
    text += String.fromCharCode(byte);
  }
  return text.length > 3 ? `  ${text}` : "";
}
