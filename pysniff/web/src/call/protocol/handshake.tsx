// A handshake of TLS: what the client offered, what the server chose, and what became of what is inside.
import type { HalfProps } from "../half";
import { Long } from "../long";
import { Section } from "../section";
import { SOURCES } from "../tls";

export function HandshakeHalf({ message, side }: HalfProps) {
  return side === "request" ? <Offered message={message} /> : <Chosen message={message} />;
}

function Offered({ message }: Pick<HalfProps, "message">) {
  const versions = texts(message.versions);
  return (
    <>
      <p class="start-line mono">
        {text(message.sni) ? <Long text={text(message.sni)} /> : <span class="faint">no server name</span>}
      </p>
      <Known
        rows={[
          ["Versions", versions.map((version) => `TLS ${version}`).join(", ")],
          ["Protocols within (ALPN)", texts(message.alpn).join(", ")],
          ["Early data (0-RTT)", message.early_data ? "yes" : ""],
          ["Groups", texts(message.groups).join(", ")],
          ["JA3", text(message.ja3)],
          ["JA4", text(message.ja4)],
        ]}
      />
      <Names title="Cipher suites" names={texts(message.cipher_suites)} />
      <Names title="Extensions" names={texts(message.extensions)} />
    </>
  );
}

function Chosen({ message }: Pick<HalfProps, "message">) {
  const source = text(message.key_source);
  const closed = text(message.not_decrypted);
  const alert = text(message.alert);
  return (
    <>
      <p class="start-line mono">
        TLS {text(message.version)} <strong>{text(message.cipher_suite)}</strong>
      </p>
      {closed && (
        <p class="warn">
          What is inside was not decrypted: <Long text={closed} />
        </p>
      )}
      {alert && (
        <p class="warn">
          Alert of the {text(message.alert_from) || "peer"}: {alert}
        </p>
      )}
      <Known
        rows={[
          ["Keys from", source && (SOURCES[source] ?? source)],
          ["Protocol within (ALPN)", text(message.alpn)],
          ["Group", text(message.group)],
          ["Resumed", message.resumed ? "yes, an earlier session was gone on with" : ""],
          ["Asked again", message.retried ? "yes, with another group (HelloRetryRequest)" : ""],
          ["Early data (0-RTT)", message.early_data ? "accepted" : ""],
          ["JA3S", text(message.ja3s)],
        ]}
      />
      <Names title="Extensions" names={texts(message.extensions)} />
    </>
  );
}

function Known({ rows }: { rows: [name: string, words: string][] }) {
  return (
    <dl class="known">
      {rows
        .filter(([, words]) => words)
        .map(([name, words]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class="mono">
              <Long text={words} />
            </dd>
          </div>
        ))}
    </dl>
  );
}

const MOST = 500;

function Names({ title, names }: { title: string; names: string[] }) {
  if (!names.length) return null;
  return (
    <Section name={`tls.${title}`} title={title} note={String(names.length)} closed>
      <ul class="mono captured">
        {names.slice(0, MOST).map((name, at) => (
          <li key={at}>{name}</li>
        ))}
      </ul>
      {names.length > MOST && <p class="faint">and {names.length - MOST} more</p>}
    </Section>
  );
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
