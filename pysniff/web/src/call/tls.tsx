// What is known of the TLS that a call was read out of, in people's words; what can be asked for is clicked into the
// filter.
import type { Tls } from "../entry";
import { Value } from "../filter/value";
import { Long } from "./long";

/** Where the keys came from. */
export const SOURCES: Record<string, string> = {
  keylog: "a key log",
  pcapng: "the capture itself",
  kernel: "the program, read by the kernel as it made the connection",
  plaintext: "none: the plain text was read in the program itself",
};

/** Names of facts, in the order in which they are shown. */
const NAMES: readonly (readonly [fact: string, name: string])[] = [
  ["version", "Version"],
  ["cipher_suite", "Cipher suite"],
  ["alpn", "Protocol within (ALPN)"],
  ["sni", "Server name (SNI)"],
  ["key_source", "Keys from"],
  ["resumed", "Resumed"],
  ["early_data", "Early data (0-RTT)"],
  ["ja3", "Client, as JA3"],
  ["ja4", "Client, as JA4"],
  ["ja3s", "Server, as JA3S"],
];
const ASKS: Record<string, string> = { version: "tls_version" };
const KNOWN = new Set(NAMES.map(([fact]) => fact));

/** Name and words of every fact that says something; such as a later version adds come last, as they are. */
export function facts(tls: Tls): [fact: string, name: string, words: string][] {
  const found: [string, string, string][] = [];
  for (const [fact, name] of NAMES) {
    const words = inWords(fact, tls[fact]);
    if (words) found.push([fact, name, words]);
  }
  for (const [fact, value] of Object.entries(tls))
    if (!KNOWN.has(fact) && value !== "" && value !== null && value !== false)
      found.push([fact, fact.replaceAll("_", " "), typeof value === "string" ? value : JSON.stringify(value)]);
  return found;
}

function inWords(fact: string, value: unknown): string {
  if (fact === "resumed") return value ? "yes, an earlier session was gone on with" : "";
  if (fact === "early_data") return value ? "yes, the client sent some before the server had answered" : "";
  if (typeof value !== "string" || !value) return "";
  if (fact === "version") return `TLS ${value}`;
  return fact === "key_source" ? (SOURCES[value] ?? value) : value;
}

export function TlsFacts({ tls }: { tls: Tls }) {
  return (
    <dl class="known" aria-label="TLS">
      {facts(tls).map(([fact, name, words]) => (
        <div key={fact}>
          <dt>{name}</dt>
          <dd class="mono">
            {ASKS[fact] ? (
              <Value variable={ASKS[fact]} value={String(tls[fact])}>
                {words}
              </Value>
            ) : (
              <Long text={words} />
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}
