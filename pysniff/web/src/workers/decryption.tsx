// What a worker can decrypt: where keys come from, how many connections have some, and of each program that has a TLS
// library whether its keys are read, why not, and how many of its connections they open.
import { count } from "../format";
import type { TlsFigures, TracedProcess, Tracer } from "./told";
import { many } from "./why";

const MOST = 60; // programs in the table

export interface Program {
  name: string;
  library: string;
  path: string;
  attached: boolean;
  problem: string;
  pids: number[];
  keys: number;
  withKeys: number;
  withoutKeys: number;
}

/** Processes of one program and file in a line: those with keys first, then those with connections that stay closed,
 *  then those that cannot be read. */
export function programs(processes: readonly TracedProcess[]): Program[] {
  const found = new Map<string, Program>();
  for (const { pid, keys, with_keys: keyed, without_keys: keyless, running, ...rest } of processes) {
    const key = JSON.stringify([rest.name, rest.library, rest.path, rest.attached, rest.problem]);
    const one = found.get(key) ?? { ...rest, pids: [], keys: 0, withKeys: 0, withoutKeys: 0 };
    if (running) one.pids.push(pid);
    one.keys += keys;
    one.withKeys += keyed;
    one.withoutKeys += keyless;
    found.set(key, one);
  }
  return [...found.values()].sort(
    (one, other) =>
      other.keys - one.keys ||
      other.withoutKeys - one.withoutKeys ||
      Number(one.attached) - Number(other.attached) ||
      (one.name < other.name ? -1 : 1),
  );
}

/** In a line: "keys of 4 of 5 connections; from the kernel and 1 key log; not kept". */
export function inShort({ connections, with_keys: keyed, keylogs, tracer, store_secrets: kept }: TlsFigures): string {
  const from = [
    ...(tracer && tracer.state !== "off" ? ["running programs"] : []),
    ...(keylogs.length ? [many(keylogs.length, "key log")] : []),
  ];
  if (!from.length && !tracer) return "no keys: the worker was started without --tls and --keylog";
  const words = [from.length ? `keys from ${from.join(" and ")}` : "no keys are read now"];
  if (connections) words.push(`${count(keyed)} of ${many(connections, "connection")} that began have keys`);
  words.push(kept ? "keys are kept beside the packets" : "keys are kept in memory alone");
  return words.join("; ");
}

export function Decryption({ tls }: { tls: TlsFigures }) {
  const { tracer } = tls;
  const lost = (tracer?.counters.dropped ?? 0) + (tracer?.counters.unreadable ?? 0);
  return (
    <>
      <span class="captured">{inShort(tls)}</span>
      {tracer?.reason && (
        <span class="uneasy captured">
          {" "}
          {tracer.reason}
          {tracer.hint && `: ${tracer.hint}`}
        </span>
      )}
      {tracer?.problems.map((text) => (
        <span key={text} class="uneasy captured">
          {" "}
          {text}
        </span>
      ))}
      {lost > 0 && <span class="uneasy"> {count(lost)} keys were lost: too many came at once.</span>}
    </>
  );
}

export function Programs({ tracer }: { tracer: Tracer }) {
  const { processes, unnamed } = tracer;
  const unowned = tracer.counters.unowned ?? 0;
  if (!processes.length && !unowned) return null;
  const every = programs(processes);
  const closed = every.filter(({ attached }) => !attached).length;
  return (
    <details class="programs">
      <summary>
        {many(every.length, "program")} with a TLS library
        {closed > 0 && <span class="uneasy">, {closed} cannot be read</span>}
      </summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled with the keyboard */}
      <section class="scrolled" tabIndex={0} aria-label="Programs with a TLS library">
        <table>
          <thead>
            <tr>
              <th scope="col" class="cell">
                Program
              </th>
              <th scope="col" class="cell">
                Library
              </th>
              <th scope="col" class="cell number">
                Keys
              </th>
              <th scope="col" class="cell number" title="Connections that began, and that a key opens">
                Decrypted
              </th>
              <th scope="col" class="cell number" title="Connections that began, and that no key opens">
                Without keys
              </th>
              <th scope="col" class="cell">
                Probe
              </th>
            </tr>
          </thead>
          <tbody>
            {every.slice(0, MOST).map((one) => (
              <tr key={`${one.name} ${one.path} ${one.problem}`}>
                <th
                  scope="row"
                  class="cell captured"
                  title={one.pids.length ? `processes ${one.pids.join(", ")}` : "ended"}
                >
                  {one.name} <span class="faint">{ids(one.pids)}</span>
                </th>
                <td class="cell captured" title={one.path}>
                  {one.library}
                </td>
                <td class="cell number">{count(one.keys)}</td>
                <td class="cell number">{count(one.withKeys)}</td>
                <td class={one.withoutKeys ? "cell number uneasy" : "cell number"}>{count(one.withoutKeys)}</td>
                <td class={one.attached ? "cell captured" : "cell captured uneasy"}>
                  {one.attached ? "reads keys" : "none"}
                  {one.problem && `: ${one.problem}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {unowned > 0 && <p class="faint">{unownedInShort(unowned)}</p>}
      {(every.length > MOST || unnamed > 0) && (
        <p class="faint">{count(Math.max(0, every.length - MOST) + unnamed)} more are not shown.</p>
      )}
    </details>
  );
}

/** Connections that stay closed, and whose they are nobody knows. */
export function unownedInShort(unowned: number): string {
  return `${many(unowned, "connection")} without keys of which no process is known: of other machines, or reset.`;
}

function ids(pids: readonly number[]): string {
  if (!pids.length) return "ended";
  return pids.length > 3 ? `${pids.slice(0, 3).join(", ")} and ${pids.length - 3} more` : pids.join(", ");
}
