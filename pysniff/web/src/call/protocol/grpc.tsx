// A half of a gRPC call: what gRPC says, its messages with their fields, and HTTP's head beneath.
import { useMemo } from "preact/hooks";
import { Value } from "../../filter/value";
import { count, duration } from "../../format";
import type { HalfProps } from "../half";
import { tree } from "../loaded";
import { Long } from "../long";
import { Section } from "../section";
import { messages } from "../tree/protobuf";
import { Tree } from "../tree/tree";
import { HttpBody, HttpHead } from "./http";

export function GrpcHalf(props: HalfProps) {
  const { full, message, side } = props;
  const told = Number(message.message_count ?? 0);
  const list = useMemo(() => {
    const read = tree(full, side, "messages");
    return read && messages(read);
  }, [full, side]);
  const here = list?.children?.length ?? 0;
  return (
    <>
      {side === "request" ? <Service {...props} /> : <Outcome {...props} />}
      <Section
        name="messages"
        title="Messages"
        note={told === here ? count(told) : `${count(here)} of ${count(told)} kept`}
      >
        {list && here > 0 ? <Tree root={list} label={`the messages of the ${side}`} /> : <p class="faint">None.</p>}
      </Section>
      <HttpHead {...props} />
      <HttpBody {...props} />
    </>
  );
}

function Service({ message }: HalfProps) {
  const timeout = message.grpc_timeout;
  return (
    <p class="start-line mono">
      <Value variable="grpc_service" value={String(message.grpc_service ?? "")} />
      <span class="faint">/</span>
      <Value variable="grpc_method" value={String(message.grpc_method ?? "")} />
      {typeof timeout === "number" && <span class="faint"> within {duration(timeout)}</span>}
    </p>
  );
}

function Outcome({ full, message }: HalfProps) {
  const status = message.grpc_status;
  const words = String(message.grpc_message ?? "");
  return (
    <p class="start-line mono">
      {typeof status === "number" ? (
        <>
          <Value variable="grpc_status" value={status} /> <strong>{full.entry.status}</strong>
        </>
      ) : (
        <span class="warn">no gRPC status: it was cancelled, or goes on</span>
      )}
      {words && words !== full.entry.status && (
        <>
          {" "}
          <Long text={words} />
        </>
      )}
    </p>
  );
}
