// One half of a call, as its protocol has it.
import type { Entry, Message } from "../entry";
import type { Full } from "./loaded";
import { DnsHalf } from "./protocol/dns";
import { GrpcHalf } from "./protocol/grpc";
import { HandshakeHalf } from "./protocol/handshake";
import { HttpHalf } from "./protocol/http";
import { RedisHalf } from "./protocol/redis";
import { OtherHalf, UnrecognisedHalf } from "./protocol/unrecognised";
import { WebSocketHalf } from "./protocol/websocket";

export type Side = "request" | "response";

export interface HalfProps {
  full: Full;
  message: Message;
  side: Side;
  /** Where more of a body can be had. */
  more?: () => void;
}

export function Half({ full, side, more }: { full: Full; side: Side; more: () => void }) {
  const message = full.entry[side];
  if (!message) return <p class="faint">{missing(full.entry, side)}</p>;
  const View = view(full.entry.protocol);
  return <View full={full} message={message} side={side} more={more} />;
}

function view(protocol: string) {
  switch (protocol) {
    case "http":
      return HttpHalf;
    case "grpc":
      return GrpcHalf;
    case "dns":
      return DnsHalf;
    case "redis":
      return RedisHalf;
    case "ws":
      return WebSocketHalf;
    case "tlsx":
      return HandshakeHalf;
    case "tcp":
    case "udp":
      return UnrecognisedHalf;
    default:
      return OtherHalf;
  }
}

function missing({ protocol, state, faults }: Entry, side: Side): string {
  if (protocol === "ws") return side === "request" ? "The server sent this message." : "The client sent this message.";
  if (side === "request") return "The request was not seen: the capture began after it, or its packets are lost.";
  if (state === "open") return "No response yet.";
  const told = faults.find(({ kind }) => kind === "unanswered");
  return told ? `No response: ${told.message}.` : "No response was seen.";
}
