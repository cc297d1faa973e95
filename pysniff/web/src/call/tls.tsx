// What is known of the TLS that a call was read out of.
import type { Tls } from "../entry";
import { Long } from "./long";

export function TlsFacts({ tls }: { tls: Tls }) {
  return (
    <dl class="known" aria-label="TLS">
      {Object.entries(tls).map(([name, value]) => (
        <>
          <dt key={name}>{name.replaceAll("_", " ")}</dt>
          <dd class="mono">
            <Long text={typeof value === "string" ? value : JSON.stringify(value)} />
          </dd>
        </>
      ))}
    </dl>
  );
}
