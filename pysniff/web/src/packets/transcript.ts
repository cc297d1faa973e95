// A conversation as rows of one height: who speaks, what was said, what is missing. Rows are places in the bytes, and
// become text when they are in sight.
import { visible } from "../call/visible";
import type { Conversation, Piece, Side } from "./reassembly";

/** Bytes that the page shows of one conversation. */
export const MOST_SHOWN = 2 * 1024 * 1024;

/** What one side said in one go: bytes without a gap, of packets one after the other. */
export interface Turn {
  side: Side;
  at: bigint | null;
  packets: number[];
  bytes: Uint8Array;
  /** Of its first byte, in what that side said in all. */
  offset: number;
}

export type Row =
  | { kind: "turn"; turn: Turn }
  | { kind: "line"; turn: Turn; from: number; to: number }
  | { kind: "text"; turn: Turn; text: string }
  | { kind: "piece"; piece: Exclude<Piece, { kind: "data" }> };

export type Said = Turn | Exclude<Piece, { kind: "data" }>;

/** Turns and what stands between them, as far as MOST_SHOWN goes; `left` are the bytes behind that. */
export function turns(conversation: Conversation, apart: boolean): { said: Said[]; left: number } {
  const said: Said[] = [];
  let [room, left] = [MOST_SHOWN, 0];
  let open: {
    side: Side;
    at: bigint | null;
    packets: number[];
    parts: Uint8Array[];
    size: number;
    offset: number;
  } | null;
  open = null;
  const close = () => {
    if (open === null) return;
    const bytes = new Uint8Array(open.size);
    let at = 0;
    for (const part of open.parts) {
      bytes.set(part, at);
      at += part.length;
    }
    const { side, packets, offset } = open;
    said.push({ side, at: open.at, packets, bytes, offset });
    open = null;
  };
  for (const piece of conversation.pieces) {
    if (piece.kind !== "data") {
      close();
      if (room > 0) said.push(piece);
      continue;
    }
    const bytes = piece.bytes.subarray(0, room);
    room -= bytes.length;
    left += piece.bytes.length - bytes.length;
    if (bytes.length === 0) continue;
    const follows = open?.side === piece.side && open.offset + open.size === piece.offset && !apart;
    if (!follows) close();
    open ??= { side: piece.side, at: piece.at, packets: [], parts: [], size: 0, offset: piece.offset };
    for (const number of piece.packets) if (!open.packets.includes(number)) open.packets.push(number);
    open.parts.push(bytes);
    open.size += bytes.length;
  }
  close();
  return { said, left };
}

export function hexRows(said: readonly Said[], columns: number): Row[] {
  return rowsOf(said, (turn) => {
    const rows: Row[] = [];
    for (let from = 0; from < turn.bytes.length; from += columns)
      rows.push({ kind: "line", turn, from, to: Math.min(turn.bytes.length, from + columns) });
    return rows;
  });
}

export function textRows(said: readonly Said[], columns: number): Row[] {
  return rowsOf(said, (turn) => {
    const lines = new TextDecoder().decode(turn.bytes).split(/\r?\n/);
    // What ends with the end of a line has no empty line behind it.
    if (lines.length > 1 && lines[lines.length - 1] === "") lines.pop();
    const rows: Row[] = [];
    for (const line of lines) {
      const text = visible(line);
      let at = 0;
      do {
        const to = wrapped(text, at + columns);
        rows.push({ kind: "text", turn, text: text.slice(at, to) });
        at = to;
      } while (at < text.length);
    }
    return rows;
  });
}

function rowsOf(said: readonly Said[], spoken: (turn: Turn) => Row[]): Row[] {
  const rows: Row[] = [];
  for (const one of said) {
    if ("kind" in one) rows.push({ kind: "piece", piece: one });
    else {
      rows.push({ kind: "turn", turn: one });
      for (const row of spoken(one)) rows.push(row);
    }
  }
  return rows;
}

/** Not between the two halves of a character. */
function wrapped(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code < 0xe000 ? at + 1 : at;
}
