// A query or answer of DNS: questions and records as tables.
import { add } from "../../filter/clauses";
import { quoted } from "../../filter/literal";
import { count, size } from "../../format";
import type { HalfProps } from "../half";
import { Long } from "../long";
import { Section } from "../section";
import { inLine } from "../visible";

interface Question {
  name: string;
  type: string;
  class: string;
}

interface Resource extends Question {
  ttl: number;
  data: string;
}

interface Edns {
  version: number;
  udp_size: number;
  do: boolean;
  options: { code: number; data: string }[];
}

const FLAGS: Record<string, string> = {
  aa: "authoritative answer",
  tc: "truncated",
  rd: "recursion desired",
  ra: "recursion available",
  z: "reserved bit",
  ad: "authentic data",
  cd: "checking disabled",
};
const MOST = 1_000; // rows of a table

export function DnsHalf({ message }: HalfProps) {
  const flags = list<string>(message.flags);
  const edns = message.edns as Edns | null;
  return (
    <>
      <p class="start-line mono">
        {String(message.opcode ?? "")}
        {message.rcode !== undefined && <strong> {String(message.rcode)}</strong>}
        <span class="faint">
          {" "}
          id {String(message.id)}, {size(Number(message.size ?? 0))}
        </span>
      </p>
      {flags.length > 0 && (
        <p class="flags">
          {flags.map((flag) => (
            <span key={flag} class="flag" title={FLAGS[flag] ?? ""}>
              {flag} <span class="faint">{FLAGS[flag]}</span>
            </span>
          ))}
        </p>
      )}
      <Table title="Questions" rows={list<Question>(message.questions)} variable="dns_questions" />
      <Table title="Answers" rows={list<Resource>(message.answers)} variable="dns_answers" />
      <Table title="Authorities" rows={list<Resource>(message.authorities)} />
      <Table title="Additionals" rows={list<Resource>(message.additionals)} />
      {edns && (
        <Section name="edns" title="EDNS" note={`version ${edns.version}`}>
          <dl class="known">
            <dt>UDP size</dt>
            <dd>{count(edns.udp_size)} bytes</dd>
            <dt>DNSSEC answers wanted</dt>
            <dd>{edns.do ? "yes" : "no"}</dd>
            {edns.options.map(({ code, data }, place) => (
              <>
                <dt key={place}>Option {code}</dt>
                <dd class="mono captured">{data.slice(0, 2_000)}</dd>
              </>
            ))}
          </dl>
        </Section>
      )}
    </>
  );
}

interface TableProps {
  title: string;
  rows: (Question | Resource)[];
  variable?: "dns_questions" | "dns_answers";
}

function Table({ title, rows, variable }: TableProps) {
  if (!rows.length) return null;
  const records = rows.some((row) => "data" in row);
  return (
    <Section name={`dns.${title}`} title={title} note={count(rows.length)}>
      <table class="records" aria-label={title}>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Type</th>
            <th scope="col">Class</th>
            {records && <th scope="col">TTL</th>}
            {records && <th scope="col">Data</th>}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, MOST).map((row, place) => (
            <tr key={place}>
              <td>
                {variable === "dns_questions" ? (
                  <Listed variable={variable} value={row.name} />
                ) : (
                  <Long text={inLine(row.name)} />
                )}
              </td>
              <td>
                {variable === "dns_questions" ? (
                  <Listed variable="dns_question_types" value={row.type} />
                ) : (
                  inLine(row.type)
                )}
              </td>
              <td class="faint">{inLine(row.class)}</td>
              {"ttl" in row && <td class="number">{row.ttl} s</td>}
              {"data" in row && (
                <td>
                  {variable === "dns_answers" ? (
                    <Listed variable={variable} value={row.data} />
                  ) : (
                    <Long text={inLine(row.data)} />
                  )}
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > MOST && <p class="warn">{count(rows.length - MOST)} more are in the JSON.</p>}
    </Section>
  );
}

/** A value of a list: whether the list has it is what can be asked. */
function Listed({ variable, value }: { variable: string; value: string }) {
  const test = `${quoted(value)} in ${variable}`;
  return (
    <button
      type="button"
      class="value captured"
      title={`Filter: ${test.slice(0, 200)}\nWith shift: exclude it`}
      onClick={(event) => add(event.shiftKey ? `!(${test})` : test)}
    >
      {inLine(value.slice(0, 400))}
    </button>
  );
}

function list<T>(told: unknown): T[] {
  return Array.isArray(told) ? (told as T[]) : [];
}
