// What a body is saved as: a name that no file system and no shell can take for anything else.
import { mediaType } from "./content";

const ENDINGS: Record<string, string> = {
  "application/json": "json", "application/xml": "xml", "text/xml": "xml", "text/html": "html", "text/plain": "txt",
  "text/css": "css", "text/csv": "csv", "text/javascript": "js", "application/javascript": "js",
  "application/pdf": "pdf", "application/zip": "zip", "image/png": "png", "image/jpeg": "jpg", "image/gif": "gif",
  "image/webp": "webp", "image/svg+xml": "svg", "application/x-ndjson": "ndjson",
}; // biome-ignore format: a table

/** `wanted`: what the peer calls it: a path, or a file name. */
export function fileName(wanted: string, type: string): string {
  const last = wanted.split(/[?#]/, 1)[0]?.split(/[/\\]/).filter(Boolean).pop() ?? "";
  const plain = last
    .replace(/[^A-Za-z0-9._-]+/g, "_")
    .replace(/^[._-]+|[._-]+$/g, "")
    .slice(-80)
    .replace(/^[._-]+/, "");
  const name = plain || "body";
  if (/\.[A-Za-z0-9]{1,8}$/.test(name)) return name;
  return `${name}.${ENDINGS[mediaType(type)] ?? "bin"}`;
}
