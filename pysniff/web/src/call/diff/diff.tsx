// What differs between two calls: the one that was chosen to compare with, and the one that is looked at.
import { useMemo, useState } from "preact/hooks";
import { call, compared } from "../../address";
import type { Body, Entry, Message, Pair } from "../../entry";
import { clock, count, duration } from "../../format";
import { content } from "../body/content";
import { hex, printable } from "../body/hex_rows";
import type { Side } from "../half";
import { type Full, tree } from "../loaded";
import { Long } from "../long";
import { Rows } from "../rows";
import { json, NotJson } from "../tree/json";
import { useCall } from "../use_call";
import { inLine, visible } from "../visible";
import { type Compared, LINES, lines } from "./lines";
import { type Difference, pairs } from "./pairs";
import { paths } from "./paths";

export function Diff({ full }: { full: Full }) {
  const { full: other, problem, again } = useCall(compared.value);
  const ready = other && other.entry.id === compared.value ? other : null;
  if (!ready) {
    if (!problem) return <p class="call-wait faint">Asking for the other call …</p>;
    return (
      <div class="refused" role="alert">
        <p>
          <strong>{problem.message}</strong> {problem.hint}
        </p>
        <button type="button" onClick={again}>
          Ask again
        </button>
      </div>
    );
  }
  return <Both before={ready} after={full} />;
}

function Both({ before, after }: { before: Full; after: Full }) {
  const [all, setAll] = useState(false);
  return (
    <div class="diff">
      <div class="bar-row">
        <Which mark="−" name="before" entry={before.entry} />
        <Which mark="+" name="after" entry={after.entry} />
        <button
          type="button"
          class="small"
          onClick={() => {
            const id = compared.value;
            compared.value = call.value;
            call.value = id;
          }}
        >
          swap
        </button>
        <label class="check">
          <input type="checkbox" checked={all} onChange={() => setAll(!all)} /> what is the same too
        </label>
      </div>
      <Table title="The call" differences={facts(before.entry, after.entry)} all={all} />
      {(["request", "response"] as const).map((side) => (
        <Halves key={side} side={side} before={before} after={after} all={all} />
      ))}
    </div>
  );
}

function Which({ mark, name, entry }: { mark: string; name: string; entry: Entry }) {
  return (
    <span class={`which ${name}`}>
      <span aria-hidden="true">{mark}</span> {clock(entry.timestamp)}{" "}
      <span class="captured">{inLine(entry.summary.slice(0, 120))}</span> {entry.status}
    </span>
  );
}

function facts(before: Entry, after: Entry): Difference[] {
  const told = (entry: Entry): Pair[] => [
    ["protocol", `${entry.protocol} ${entry.version}`.trim()],
    ["request line", entry.request?.method ? `${entry.request.method} ${entry.request.url}` : entry.summary],
    ["status", entry.status || "none"],
    ["elapsed", entry.elapsed_time === null ? "–" : duration(entry.elapsed_time)],
    ["from", end(entry.src)],
    ["to", end(entry.dst)],
    ["completeness", entry.completeness],
    ["faults", entry.faults.map(({ kind, message }) => `${kind}: ${message}`).join("; ") || "none"],
  ];
  const found = pairs(told(before), told(after));
  const elapsed = found.find(({ name }) => name === "elapsed");
  if (elapsed && before.elapsed_time && after.elapsed_time !== null) {
    const more = after.elapsed_time - before.elapsed_time;
    if (more) elapsed.after += ` (${more > 0 ? "+" : "−"}${duration(Math.abs(more))})`;
  }
  return found;
}

function end({ ip, port, name }: Entry["src"]): string {
  return `${name ? `${name} ` : ""}${ip} port ${port}`;
}

interface HalvesProps {
  side: Side;
  before: Full;
  after: Full;
  all: boolean;
}

function Halves({ side, before, after, all }: HalvesProps) {
  const [old, now] = [before.entry[side], after.entry[side]];
  if (!old && !now) return null;
  const title = side === "request" ? "Request" : "Response";
  if (!old || !now) {
    return (
      <section>
        <h3>{title}</h3>
        <p>
          Only {old ? "the first (−)" : "the second (+)"} has a {side}.
        </p>
      </section>
    );
  }
  return (
    <section>
      <Named title={`${title} query`} before={old.query} after={now.query} all={all} lower={false} />
      <Named title={`${title} headers`} before={old.headers} after={now.headers} all={all} />
      <Named title={`${title} trailers`} before={old.trailers} after={now.trailers} all={all} />
      <Bodies title={`${title} body`} side={side} before={before} after={after} all={all} />
    </section>
  );
}

interface NamedProps {
  title: string;
  before: Pair[] | undefined;
  after: Pair[] | undefined;
  all: boolean;
  lower?: boolean;
}

function Named({ title, before = [], after = [], all, lower = true }: NamedProps) {
  const differences = useMemo(() => pairs(before, after, lower), [before, after]);
  return differences.length ? <Table title={title} differences={differences} all={all} /> : null;
}

interface TableProps {
  title: string;
  differences: readonly Difference[];
  all: boolean;
}

function Table({ title, differences, all }: TableProps) {
  const shown = all ? differences : differences.filter(({ before, after }) => before !== after);
  return (
    <>
      <h3>
        {title} {!shown.length && <span class="faint">same</span>}
      </h3>
      {shown.length > 0 && (
        <table class="differences" aria-label={title}>
          <tbody>
            {shown.slice(0, MOST).map(({ name, before, after }) => (
              <tr
                key={name}
                class={before === after ? "same" : before === null ? "added" : after === null ? "removed" : "changed"}
              >
                <th scope="row">
                  <Long text={inLine(name)} short={120} />
                </th>
                <td>
                  {before === after ? (
                    <Long text={before ?? ""} />
                  ) : (
                    <>
                      {before !== null && (
                        <del>
                          <Long text={before} />
                        </del>
                      )}
                      {after !== null && (
                        <ins>
                          <Long text={after} />
                        </ins>
                      )}
                    </>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {shown.length > MOST && <p class="warn">{count(shown.length - MOST)} more differ.</p>}
    </>
  );
}

const MOST = 1_000;

function Bodies({
  title,
  side,
  before,
  after,
  all,
}: {
  title: string;
  side: Side;
  before: Full;
  after: Full;
  all: boolean;
}) {
  const found = useMemo(() => bodies(side, before, after), [side, before, after]);
  if (!found) return null;
  if (typeof found === "string") {
    return <Same title={title} what={found} />;
  }
  if ("differences" in found) {
    return (
      <>
        <Table title={`${title}, by path`} differences={found.differences} all={all} />
        {found.more && <p class="warn">Only the first {count(found.differences.length)} differences are shown.</p>}
      </>
    );
  }
  if (found.lines.every(({ kind }) => kind === "same")) return <Same title={title} what="same" />;
  return <Lines title={title} found={found} all={all} />;
}

function Same({ title, what }: { title: string; what: string }) {
  return (
    <h3>
      {title} <span class="faint">{what}</span>
    </h3>
  );
}

type Found = Compared | { differences: Difference[]; more: boolean } | string | null;

function bodies(side: Side, before: Full, after: Full): Found {
  const [old, now] = [before.entry[side] as Message, after.entry[side] as Message];
  // What has no body of its own, as DNS and Redis, is compared as a whole; of gRPC its messages are.
  const whole = !old.body || !now.body || old.messages || now.messages;
  if (whole) {
    const part = (full: Full) => tree(full, ...(old.messages || now.messages ? [side, "messages"] : [side]));
    const [one, other] = [part(before), part(after)];
    return one && other ? paths(one, other) : "not compared: it has too many values";
  }
  const [one, other] = [old.body?.text, now.body?.text];
  if (one === undefined || other === undefined) {
    return lines(hexLines(old.body as Body), hexLines(now.body as Body));
  }
  if (one === other) return one ? "same" : null;
  try {
    return paths(json(one), json(other));
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    return lines(one.split("\n"), other.split("\n"));
  }
}

/** Of octets that are no text: a line for each sixteen, so that equal ones are found wherever they stand in line. */
function hexLines(body: Body): string[] {
  const bytes = content(body, "").bytes();
  const found: string[] = [];
  for (let at = 0; at < bytes.length && found.length <= LINES; at += 16) {
    found.push(`${hex(bytes, at, 16)} ${printable(bytes, at, 16)}`);
  }
  return found;
}

const HEIGHT = 18;
const SHORT = 2_000; // characters of a line
const AROUND = 3; // lines that are the same, before and after each that is not

function Lines({ title, found, all }: { title: string; found: Compared; all: boolean }) {
  const shown = useMemo(() => {
    if (all) return found.lines;
    const near = new Set<number>();
    found.lines.forEach(({ kind }, place) => {
      if (kind !== "same") for (let by = -AROUND; by <= AROUND; by++) near.add(place + by);
    });
    return found.lines.filter((_, place) => near.has(place));
  }, [found, all]);
  return (
    <>
      <h3>{title}</h3>
      {found.bound && <p class="warn">{found.bound}</p>}
      <Rows
        count={shown.length}
        height={HEIGHT}
        attributes={{ role: "region", "aria-label": title, class: "rows mono" }}
        row={(place) => {
          const line = shown[place];
          if (!line) return null;
          const mark = { same: " ", removed: "−", added: "+" }[line.kind];
          return (
            <div key={place} class={`text-row ${line.kind}`}>
              <span class="gutter">{mark}</span>
              <span class="captured">{visible(line.text.slice(0, SHORT))}</span>
            </div>
          );
        }}
      />
    </>
  );
}
