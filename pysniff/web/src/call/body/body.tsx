// One body: the ways of showing it, the best one first, and what can be done with it.
import { useMemo, useState } from "preact/hooks";
import { CopyButton } from "../copy_button";
import { Pairs } from "../pairs";
import { json } from "../tree/json";
import { group, type Node } from "../tree/node";
import { fields } from "../tree/protobuf";
import { Tree } from "../tree/tree";
import { xml } from "../tree/xml";
import type { Content } from "./content";
import { EventsView } from "./events";
import { fileName } from "./file_name";
import { form } from "./form";
import { Hex } from "./hex";
import { Image } from "./image";
import { imageType, type Kind, kinds, NAMES } from "./kind";
import { PartsView } from "./parts";
import { Text } from "./text";
import { protobuf } from "./wire";

interface BodyProps {
  content: Content;
  /** What it is called to whom cannot see where it stands. */
  label: string;
  /** What the peer calls it, for the file that it may be saved as. */
  name?: string;
  depth?: number;
}

export function BodyView({ content, label, name = "", depth = 0 }: BodyProps) {
  const ways = useMemo(() => kinds(content), [content]);
  const [wanted, setWanted] = useState<Kind | null>(null);
  const kind = wanted && ways.includes(wanted) ? wanted : (ways[0] ?? "hex");
  const empty = content.text === "" || (content.text === null && !content.bytes().length);
  if (empty) return <p class="faint">Empty.</p>;
  return (
    <div class="body">
      <div class="bar-row">
        <fieldset class="ways" aria-label={`How to show ${label}`}>
          {ways.map((way) => (
            <button type="button" key={way} class="way" aria-pressed={way === kind} onClick={() => setWanted(way)}>
              {NAMES[way]}
            </button>
          ))}
        </fieldset>
        <span class="push" />
        {content.text !== null && <CopyButton text={() => content.text ?? ""} label={`Copy ${label}`} />}
        <button type="button" class="quiet small" onClick={() => save(content, name)} title={`Save ${label} as a file`}>
          save
        </button>
      </div>
      <Shown kind={kind} content={content} label={label} depth={depth} />
    </div>
  );
}

interface ShownProps {
  kind: Kind;
  content: Content;
  label: string;
  depth: number;
}

function Shown({ kind, content, label, depth }: ShownProps) {
  const text = content.text ?? "";
  switch (kind) {
    case "json":
      return <Read content={content} label={label} read={() => json(text, { cut: content.truncated })} what="JSON" />;
    case "lines":
      return (
        <Read
          content={content}
          label={label}
          read={() => json(text, { cut: content.truncated, many: true })}
          what="JSON lines"
        />
      );
    case "xml":
      return <Read content={content} label={label} read={() => xml(text, content.truncated)} what="XML" />;
    case "protobuf":
      return <Read content={content} label={label} read={() => asProtobuf(content)} what="protobuf" />;
    case "form":
      return <Form text={text} label={label} />;
    case "parts":
      return <PartsView content={content} label={label} depth={depth} />;
    case "events":
      return <EventsView text={text} label={label} />;
    case "image":
      return <Image bytes={content.bytes()} type={imageType(content)} label={label} />;
    case "text":
      return <Text text={text} label={label} />;
    case "hex":
      return <Hex bytes={content.bytes()} label={label} />;
  }
}

interface ReadProps {
  content: Content;
  label: string;
  what: string;
  read: () => Node;
}

/** A tree, or why there is none and the text. */
function Read({ content, label, what, read }: ReadProps) {
  const made = useMemo<Node | string>(() => {
    try {
      const root = read();
      return root.children ? root : group("array", null, [root]);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }, [content, what]);
  if (typeof made !== "string") {
    return (
      <>
        {made.note === "cut here" && <p class="warn">It is cut: this is the beginning of it.</p>}
        <Tree root={made} label={label} />
      </>
    );
  }
  return (
    <>
      <p class="warn">
        Not shown as {what}: {made}.
      </p>
      {content.text === null ? (
        <Hex bytes={content.bytes()} label={label} />
      ) : (
        <Text text={content.text} label={label} />
      )}
    </>
  );
}

function asProtobuf(content: Content): Node {
  const read = protobuf(content.bytes());
  if (!read) throw new Error(content.truncated ? "it is cut" : "the bytes are no message");
  return fields(null, read);
}

function Form({ text, label }: { text: string; label: string }) {
  const { pairs, more } = useMemo(() => form(text), [text]);
  return (
    <>
      <Pairs pairs={pairs} label={label} />
      {more > 0 && <p class="warn">{more} fields more are in the text.</p>}
    </>
  );
}

/** As a file, by the browser's own way; its type is one that nothing runs. */
function save(content: Content, name: string): void {
  const url = URL.createObjectURL(new Blob([content.bytes()], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName(name, content.type);
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
