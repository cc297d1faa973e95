// Which ways of showing a body make sense, the best first: by what its type says, and where that says nothing by how it begins.
import { type Content, mediaType } from "./content";

export type Kind = "json" | "lines" | "xml" | "form" | "parts" | "image" | "events" | "protobuf" | "text" | "hex";

export const NAMES: Record<Kind, string> = {
  json: "JSON",
  lines: "JSON lines",
  xml: "XML",
  form: "Form",
  parts: "Parts",
  image: "Image",
  events: "Events",
  protobuf: "Protobuf",
  text: "Text",
  hex: "Hex",
};

const JSON_TYPE = /^(application|text)\/(json|x-json|json5|csp-report|reports\+json)$|\+json$/;
const LINES_TYPE = /^(application|text)\/(x-)?(ndjson|jsonlines|jsonl|json-seq)$/;
const XML_TYPE = /^(application|text)\/xml$|\+xml$/;
const PROTOBUF_TYPE = /^application\/(x-)?(protobuf|vnd\.google\.protobuf|x-google-protobuf)$|\+(proto|protobuf)$/;
/** What browsers draw, and cannot be made to run in <img>. */
const IMAGE_TYPE = /^image\/(png|jpe?g|gif|webp|avif|bmp|x-icon|vnd\.microsoft\.icon|svg\+xml)$/;

export function kinds(content: Content): Kind[] {
  const type = mediaType(content.type);
  const text = content.text;
  const found: Kind[] = [];
  const image = imageType(content);
  if (image) found.push("image");
  if (type.startsWith("multipart/")) found.push("parts");
  if (PROTOBUF_TYPE.test(type)) found.push("protobuf");
  if (text !== null) {
    if (LINES_TYPE.test(type)) found.push("lines");
    else if (JSON_TYPE.test(type) || (!found.length && looksLikeJson(text, type))) found.push("json");
    if (XML_TYPE.test(type) || (!found.length && /^\s*<\?xml/.test(text))) found.push("xml");
    if (type === "application/x-www-form-urlencoded") found.push("form");
    if (type === "text/event-stream") found.push("events");
    found.push("text");
  }
  return [...found, "hex"];
}

/** The image's media type; "" for what is none that is drawn. */
export function imageType(content: Content): string {
  const type = mediaType(content.type);
  if (IMAGE_TYPE.test(type)) return type;
  if (content.text !== null || (type && type !== "application/octet-stream" && !type.startsWith("image/"))) return "";
  return begins(content.bytes());
}

function begins(bytes: Uint8Array): string {
  const has = (at: number, ...wanted: number[]) => wanted.every((byte, place) => bytes[at + place] === byte);
  if (has(0, 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a)) return "image/png";
  if (has(0, 0xff, 0xd8, 0xff)) return "image/jpeg";
  if (has(0, 0x47, 0x49, 0x46, 0x38)) return "image/gif";
  if (has(0, 0x52, 0x49, 0x46, 0x46) && has(8, 0x57, 0x45, 0x42, 0x50)) return "image/webp";
  return "";
}

/** Where the type does not say otherwise, braces do. */
function looksLikeJson(text: string, type: string): boolean {
  if (type && type !== "text/plain" && !type.includes("javascript") && type !== "application/octet-stream")
    return false;
  return /^\s*(\{\s*["}]|\[\s*[[{"\d\]tfn-])/.test(text.slice(0, 200));
}
