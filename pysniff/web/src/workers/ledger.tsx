// The account of what was captured: every term in words, for all workers and each; what was lost stands out.
import { count } from "../format";
import { imbalances, losses, SECTIONS } from "./losses";
import { connected, together, total, type Worker } from "./told";

const MOST = 12; // columns of single workers

export function Ledger({ workers }: { workers: readonly Worker[] }) {
  const here = connected(workers).filter((worker) => worker.figures);
  const sum = together(here);
  const lost = losses(sum);
  const wrong = here.flatMap(({ node, figures }) =>
    imbalances(figures?.ledger ?? {}).map((text) => `${node}: ${text}`),
  );
  const unaccounted = here.reduce((so_far, { figures }) => so_far + (figures?.capture.unaccounted ?? 0), 0);
  const columns = here.length > 1 ? here.slice(0, MOST) : [];
  return (
    <section class="ledger" aria-labelledby="ledger">
      <header>
        <h2 id="ledger">Ledger</h2>
        <p class={`balance ${lost.length || wrong.length || unaccounted ? "uneasy" : "sound"}`}>
          {wrong.length ? "The account does not balance: a bug." : "The account balances."}{" "}
          {lost.length || unaccounted ? "Packets were lost:" : "Nothing was lost."}
        </p>
      </header>
      {(lost.length > 0 || unaccounted > 0 || wrong.length > 0) && (
        <ul class="lost">
          {lost.map(({ term, count: number }) => (
            <li key={term.name}>
              <strong>{count(number)} packets</strong> {term.words}. <span class="faint">{term.loss}</span>
            </li>
          ))}
          {unaccounted > 0 && (
            <li>
              <strong>{count(unaccounted)} packets</strong> of which nobody knows what became: the process that captures
              was killed while it had them.
            </li>
          )}
          {wrong.map((text) => (
            <li key={text} class="captured">
              {text}
            </li>
          ))}
        </ul>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled with the keyboard */}
      <section class="scrolled" tabIndex={0} aria-label="Counters of the ledger">
        <table>
          <thead>
            <tr>
              <th scope="col">Packets</th>
              <th scope="col" class="number">
                {columns.length ? `All ${here.length}` : "Number"}
              </th>
              {columns.map(({ node }) => (
                <th scope="col" key={node} class="number captured">
                  {node}
                </th>
              ))}
            </tr>
          </thead>
          {SECTIONS.map((section) => (
            <tbody key={section.title}>
              <tr class="section">
                <th scope="rowgroup" colSpan={2 + columns.length}>
                  {section.title}
                </th>
              </tr>
              {section.terms.map((term) => {
                const all = total(sum, term.name);
                return (
                  <tr key={term.name} class={term.loss && all ? "loss" : all ? "" : "zero"}>
                    <th scope="row">
                      {term.words} <code class="faint">{term.name}</code>
                    </th>
                    <td class="number">{count(all)}</td>
                    {columns.map(({ node, figures }) => (
                      <td class="number" key={node}>
                        {count(total(figures?.ledger ?? {}, term.name))}
                      </td>
                    ))}
                  </tr>
                );
              })}
            </tbody>
          ))}
        </table>
        {here.length > columns.length && columns.length > 0 && (
          <p class="faint">{here.length - columns.length} further workers are in the sum alone.</p>
        )}
      </section>
    </section>
  );
}
