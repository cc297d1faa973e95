// What a body is to those that show it: its type, and its octets or text, whichever is wanted.

export interface Content {
  /** As the Content-Type says, parameters and all; "" where nobody said. */
  type: string;
  text: string | null;
  /** Of a text in another charset these are those of UTF-8. */
  bytes(): Uint8Array<ArrayBuffer>;
  truncated: boolean;
}

interface Carrier {
  text?: string;
  base64?: string;
  truncated?: boolean;
}

export function content(body: Carrier, type: string): Content {
  return {
    type,
    text: body.text ?? null,
    bytes: once(() => (body.base64 === undefined ? utf8(body.text ?? "") : decoded(body.base64))),
    truncated: body.truncated ?? false,
  };
}

/** Octets that may be text. */
export function ofBytes(bytes: Uint8Array<ArrayBuffer>, type: string, truncated: boolean): Content {
  return { type, text: asText(bytes), bytes: () => bytes, truncated };
}

// What text does not have: controls but tab and line ends.
const CONTROLS = /[^\P{Cc}\t\n\r]/u;

export function asText(bytes: Uint8Array): string | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return CONTROLS.test(text) ? null : text;
  } catch {
    return null;
  }
}

export function decoded(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** "text/html" of "Text/HTML; charset=x". */
export function mediaType(type: string): string {
  return (type.split(";", 1)[0] ?? "").trim().toLowerCase();
}

/** A parameter of a type or of a Content-Disposition, without its quotes; "" where there is none. */
export function parameter(text: string, name: string): string {
  const found = new RegExp(`;\\s*${name}\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]*))`, "i").exec(text);
  return found?.[1]?.replace(/\\(.)/g, "$1") ?? found?.[2] ?? "";
}
