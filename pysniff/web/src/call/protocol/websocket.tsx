// A message or control frame of a WebSocket.
import { useMemo } from "preact/hooks";
import { Value } from "../../filter/value";
import { size } from "../../format";
import { BodyView } from "../body/body";
import { content } from "../body/content";
import type { HalfProps } from "../half";
import { Section } from "../section";
import { inLine } from "../visible";

export function WebSocketHalf({ message, side }: HalfProps) {
  const text = typeof message.text === "string" ? message.text : undefined;
  const base64 = typeof message.base64 === "string" ? message.base64 : undefined;
  const body = useMemo(
    () =>
      content(
        {
          ...(text === undefined ? {} : { text }),
          ...(base64 === undefined ? {} : { base64 }),
          truncated: message.truncated === true,
        },
        "",
      ),
    [message],
  );
  const whole = Number(message.size ?? 0);
  const sent = Number(message.encoded_size ?? 0);
  const frames = Number(message.frames ?? 1);
  const protocol = String(message.subprotocol ?? "");
  return (
    <>
      <p class="start-line mono">
        <Value variable="ws_opcode" value={String(message.opcode ?? "")} />
        {typeof message.code === "number" && <strong> {message.code}</strong>}
        <span class="faint">
          {" "}
          from the {side === "request" ? "client" : "server"}, {size(whole)}
          {message.compressed === true && `, ${size(sent)} as sent (deflated)`}
          {frames > 1 && `, ${frames} frames`}
          {protocol && `, subprotocol ${inLine(protocol.slice(0, 80))}`}
        </span>
      </p>
      {message.truncated === true && <p class="warn">More was sent than is kept here.</p>}
      <Section name="ws.payload" title="Payload" note={size(whole)}>
        <BodyView content={body} label="the payload" name="message" />
      </Section>
    </>
  );
}
