// A request or response of HTTP: its line, parameters, fields, cookies, body, trailers.

import { useMemo } from "preact/hooks";
import type { Body, Pair } from "../../entry";
import { Value } from "../../filter/value";
import { count, size } from "../../format";
import { BodyView } from "../body/body";
import { content } from "../body/content";
import type { HalfProps } from "../half";
import { BODY, LARGEST_BODY } from "../loaded";
import { Long } from "../long";
import { Pairs } from "../pairs";
import { Section } from "../section";
import { inLine } from "../visible";

export function HttpHalf(props: HalfProps) {
  return (
    <>
      <HttpHead {...props} />
      <HttpBody {...props} />
    </>
  );
}

export function HttpHead({ full, message, side }: HalfProps) {
  const { headers = [], query = [], cookies = [], trailers = [] } = message;
  const interim = interims(message.interim);
  return (
    <>
      {side === "request" ? (
        <RequestLine message={message} version={full.entry.version} />
      ) : (
        <StatusLine message={message} version={full.entry.version} />
      )}
      {interim.map((one, place) => (
        <Section
          key={place}
          name="interim"
          title={`Before it: ${one.status} ${inLine(one.reason)}`}
          note={plural(one.headers.length, "field")}
        >
          <Pairs pairs={one.headers} label={`Header fields of the answer ${one.status}`} />
        </Section>
      ))}
      {query.length > 0 && (
        <Section name="query" title="Query" note={count(query.length)}>
          <Pairs pairs={query} label="Query parameters" map="query_string" />
        </Section>
      )}
      <Section
        name={`headers.${side}`}
        title="Headers"
        note={`${count(headers.length)}${message.headers_size ? `, ${size(message.headers_size)} as sent` : ""}`}
      >
        <Pairs pairs={headers} label={`Header fields of the ${side}`} map={`${side}.headers`} lower />
      </Section>
      {cookies.length > 0 && (
        <Section name="cookies" title="Cookies" note={count(cookies.length)}>
          <Pairs pairs={cookies} label={`Cookies of the ${side}`} map={`${side}.cookies`} />
        </Section>
      )}
      {trailers.length > 0 && (
        <Section name="trailers" title="Trailers" note={count(trailers.length)}>
          <Pairs pairs={trailers} label={`Trailers of the ${side}`} />
        </Section>
      )}
    </>
  );
}

function RequestLine({ message, version }: { message: HalfProps["message"]; version: string }) {
  const { method = "", url = "", path = "", host = "" } = message;
  return (
    <p class="start-line mono">
      <Value variable="method" value={method} />{" "}
      {url.length <= 400 ? <Value variable={url === path ? "path" : "url"} value={url} /> : <Long text={url} />}{" "}
      <span class="faint">HTTP/{version}</span>
      {host && (
        <>
          <span class="faint"> to </span>
          <Value variable="host" value={host} />
        </>
      )}
      {message.stream_id !== undefined && <span class="faint"> stream {String(message.stream_id)}</span>}
    </p>
  );
}

function StatusLine({ message, version }: { message: HalfProps["message"]; version: string }) {
  return (
    <p class="start-line mono">
      <span class="faint">HTTP/{version} </span>
      <Value variable="status_code" value={message.status ?? 0} /> <Long text={message.reason ?? ""} short={120} />
      {message.stream_id !== undefined && <span class="faint"> stream {String(message.stream_id)}</span>}
    </p>
  );
}

export function HttpBody({ full, message, side, more }: HalfProps) {
  const { body, headers = [] } = message;
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] || body?.mime_type || "";
  const shown = useMemo(() => (body ? content(body, type) : null), [body, type]);
  if (!body || !shown) return null;
  if (!body.size && !body.encoded_size) return <p class="faint">No body.</p>;
  const name = full.entry.request?.path ?? "";
  return (
    // Of gRPC the messages are what one wants; the bytes around them are there too.
    <Section
      name={message.messages ? "body.grpc" : "body"}
      title="Body"
      note={about(body)}
      closed={Boolean(message.messages)}
    >
      {body.truncated && <Truncated body={body} limit={full.limit} {...(more ? { more } : {})} />}
      <BodyView content={shown} label={`the body of the ${side}`} name={name} />
    </Section>
  );
}

function Truncated({ body, limit, more }: { body: Body; limit: number; more?: () => void }) {
  const here = limit < body.size;
  return (
    <p class="warn">
      {here
        ? `The first ${size(limit)} of ${size(body.size)} are here.`
        : `Not all of its ${size(body.size)} were kept: a part is lost, or it is longer than the worker keeps.`}{" "}
      {here && limit === BODY && more && (
        <button type="button" class="small" onClick={more}>
          Show {size(Math.min(body.size, LARGEST_BODY))}
        </button>
      )}
      {here && limit >= LARGEST_BODY && "More comes in the pcapng alone."}
    </p>
  );
}

function about({ size: whole, encoded_size: sent, encoding, mime_type: type }: Body): string {
  const words = [size(whole)];
  if (encoding) words[0] += `, ${size(sent)} as sent in ${encoding}`;
  else if (sent !== whole) words[0] += `, ${size(sent)} as sent`;
  if (type) words.push(type);
  return words.join(" · ");
}

interface Interim {
  status: number;
  reason: string;
  headers: Pair[];
}

function interims(told: unknown): Interim[] {
  return Array.isArray(told) ? (told as Interim[]) : [];
}

function plural(number: number, word: string): string {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}
