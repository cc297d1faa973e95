// Protobuf as a tree: from the hub's readings (docs/grpc.md), or from octets that nobody has a schema of. A field
// without a name has every reading that its bytes allow; the likeliest one is first, the others are said beside it.
import { decoded } from "../body/content";
import { group, member, type Node, scalar } from "./node";

const READINGS = new Set([
  "varint",
  "int",
  "fixed32",
  "float",
  "fixed64",
  "double",
  "text",
  "base64",
  "message",
  "group",
]);
const HEX_BYTES = 64; // of a value that is neither text nor a message

/** The fields of a message as protobuf_fields of docs/schema.json has them. */
export function fields(name: Node["name"], read: Node, note = ""): Node {
  const shown: Node[] = [];
  for (const field of read.children ?? []) {
    if (isUnnamed(field)) for (const one of field.children ?? []) shown.push(unnamed(String(field.name), one));
    else shown.push(named(field));
  }
  return group("object", name, shown, note);
}

/** Every message of a gRPC half: a list of grpc_message. */
export function messages(list: Node): Node {
  const shown = (list.children ?? []).map((message, place) => {
    const size = member(message, "size")?.text ?? "0";
    const notes = [`${Number(size).toLocaleString("en")} ${size === "1" ? "byte" : "bytes"}`];
    if (member(message, "compressed")?.text === "true") notes.push("compressed");
    if (member(message, "truncated")) notes.push("not all of it is here");
    const note = notes.join(", ");
    const read = member(message, "fields");
    if (read) return fields(place, read, note);
    const text = member(message, "text");
    const octets = member(message, "base64");
    return text
      ? scalar("string", place, text.text, note)
      : scalar("text", place, hexadecimal(octets?.text ?? ""), note);
  });
  return group("array", null, shown);
}

function isUnnamed(field: Node): boolean {
  if (!/^[1-9]\d*$/.test(String(field.name)) || field.kind !== "array" || !field.children?.length) return false;
  return field.children.every(
    (one) => one.children?.length && one.children.every(({ name }) => READINGS.has(String(name))),
  );
}

function named(node: Node): Node {
  if (!node.children) return scalar(node.kind, node.name, node.text);
  if (node.kind === "object") return fields(node.name, node);
  return group("array", node.name, node.children.map(named));
}

function unnamed(number: string, readings: Node): Node {
  const text = member(readings, "text");
  const octets = member(readings, "base64");
  const inside = member(readings, "message") ?? member(readings, "group");
  if (inside) {
    const words = text && !/^\s/.test(text.text) ? text : null;
    const made = fields(number, inside, inside.name === "group" ? "group" : "message");
    if (words) {
      made.kind = "string";
      made.text = words.text;
      made.note = "text, or a message";
    } else if (text) made.note = `message, or text ${JSON.stringify(text.text.slice(0, 60))}`;
    return made;
  }
  if (text) return scalar("string", number, text.text, "text");
  if (octets) return scalar("text", number, hexadecimal(octets.text), "bytes");
  const [first, ...others] = likeliestFirst(readings.children ?? []);
  if (!first) return scalar("text", number, "");
  const also = others.map((one) => `or ${one.text} as ${one.name}`);
  return scalar("number", number, first.text, [String(first.name), ...also].join(", "));
}

/** A number's readings: the one of usual size before the one that is huge, or next to nothing. */
function likeliestFirst(readings: readonly Node[]): Node[] {
  const last = readings[readings.length - 1];
  const size = Math.abs(Number(last?.text));
  const fraction = (last?.name === "float" || last?.name === "double") && size > 1e-6 && size < 1e12;
  return last?.name === "int" || fraction ? [...readings].reverse() : [...readings];
}

function hexadecimal(base64: string): string {
  const bytes = decoded(base64);
  const shown = Array.from(bytes.subarray(0, HEX_BYTES), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `0x${shown}${bytes.length > HEX_BYTES ? "…" : ""}`;
}
