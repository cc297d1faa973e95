// A command or reply of Redis: its value as text where it is one, as a tree where it has parts.
import { useMemo } from "preact/hooks";
import { Value } from "../../filter/value";
import { count, size } from "../../format";
import { BodyView } from "../body/body";
import { content } from "../body/content";
import type { HalfProps } from "../half";
import { tree } from "../loaded";
import { Section } from "../section";
import { member, type Node } from "../tree/node";
import { Tree } from "../tree/tree";
import { inLine } from "../visible";

export function RedisHalf({ full, message, side }: HalfProps) {
  const read = useMemo(() => tree(full, side), [full, side]);
  const args = member(read, "args");
  const key = args?.children?.[0];
  const attributes = member(read, "attributes");
  return (
    <>
      <p class="start-line mono">
        {side === "request" ? (
          <>
            <Value variable="redis_command" value={String(message.command ?? "")} />{" "}
            {key?.kind === "string" && key.text.length <= 64 && <Value variable="redis_key" value={key.text} />}
          </>
        ) : (
          <Value variable="redis_type" value={String(message.type ?? "")} />
        )}
        <span class="faint"> {size(Number(message.size ?? 0))} on the wire</span>
      </p>
      {message.truncated === true && <p class="warn">More was sent than is kept here.</p>}
      {args && (
        <Section name="redis.args" title="Arguments" note={count(args.children?.length ?? 0)}>
          {args.children?.length ? <Arguments args={args.children} /> : <p class="faint">None.</p>}
        </Section>
      )}
      {side === "response" && (
        <Section name="redis.value" title="Value" note={count1(member(read, "value"))}>
          <Told node={member(read, "value")} label="the reply" />
        </Section>
      )}
      {attributes && (
        <Section name="redis.attributes" title="Attributes" note="what RESP3 says about the value">
          <Told node={attributes} label="the attributes" />
        </Section>
      )}
    </>
  );
}

const SHORT = 300; // characters of an argument in its row
const MOST = 200; // arguments as rows; all are in the JSON

function Arguments({ args }: { args: readonly Node[] }) {
  return (
    <>
      <ol class="arguments">
        {args.slice(0, MOST).map((arg, place) => (
          <li key={place}>
            {arg.children || arg.text.length > SHORT ? (
              <Told node={arg} label={`argument ${place + 1}`} />
            ) : (
              <span class="mono captured">{inLine(arg.text)}</span>
            )}
          </li>
        ))}
      </ol>
      {args.length > MOST && <p class="warn">{count(args.length - MOST)} more are in the JSON.</p>}
    </>
  );
}

/** A value: {"base64"} is one that is no text. */
function Told({ node, label }: { node: Node | null; label: string }) {
  const octets = node?.children?.length === 1 ? member(node, "base64") : null;
  const body = useMemo(
    () => (octets ? content({ base64: octets.text }, "") : content({ text: node?.text ?? "" }, "")),
    [node],
  );
  if (!node) return <p class="faint">None.</p>;
  if (octets || node.kind === "string") return <BodyView content={body} label={label} name="value" />;
  if (node.children) return <Tree root={node} label={label} />;
  return <p class={`mono ${node.kind}`}>{node.text === "null" ? "nil" : inLine(node.text)}</p>;
}

function count1(node: Node | null): string {
  return node?.kind === "array" ? `${count(node.children?.length ?? 0)} parts` : "";
}
