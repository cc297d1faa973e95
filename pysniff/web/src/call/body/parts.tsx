// A multipart body: each part with its fields, shown as its own type wants it.
import { useMemo } from "preact/hooks";
import { size } from "../../format";
import { inLine } from "../visible";
import { BodyView } from "./body";
import { type Content, mediaType, ofBytes, parameter } from "./content";
import { field, multipart, type Part } from "./multipart";

const NESTED = 3; // multipart in multipart

export function PartsView({ content, label, depth }: { content: Content; label: string; depth: number }) {
  const found = useMemo(() => multipart(content.bytes(), parameter(content.type, "boundary")), [content]);
  if (!found || depth >= NESTED) {
    return <p class="warn">Its boundary is not in it, or it is nested too deep: look at it as text or bytes.</p>;
  }
  return (
    <ol class="parts">
      {found.parts.map((part, place) => (
        <PartView
          key={place}
          part={part}
          place={place}
          label={label}
          depth={depth}
          cut={part.cut && content.truncated}
        />
      ))}
      {found.more && <li class="warn">There are more parts than {found.parts.length}.</li>}
      {!found.parts.length && <li class="faint">It has no parts.</li>}
    </ol>
  );
}

interface PartProps {
  part: Part;
  place: number;
  label: string;
  depth: number;
  cut: boolean;
}

function PartView({ part, place, label, depth, cut }: PartProps) {
  const disposition = field(part, "content-disposition");
  const name = parameter(disposition, "name");
  const file = parameter(disposition, "filename");
  const type = field(part, "content-type");
  const inner = useMemo(() => ofBytes(part.bytes, type, cut || part.cut), [part, type, cut]);
  const called = name || `part ${place + 1}`;
  return (
    <li>
      <div class="part-head">
        <strong class="captured">{inLine(called.slice(0, 200))}</strong>
        {file && <span class="captured">{inLine(file.slice(0, 200))}</span>}
        <span class="faint captured">{inLine(mediaType(type))}</span>
        <span class="faint">{size(part.bytes.length)}</span>
        {part.cut && <span class="warn">its end was not seen</span>}
      </div>
      <BodyView content={inner} label={`${label}, ${called}`} name={file || name} depth={depth + 1} />
    </li>
  );
}
