// Names and values as a table: header fields, parameters, cookies. A value is clicked into the filter where the filter
// has a variable for it; several of one name are one value there, joined with ", " (docs/filter.md).
import { useMemo, useState } from "preact/hooks";
import type { Pair } from "../entry";
import { member } from "../filter/clauses";
import { Value } from "../filter/value";
import { count } from "../format";
import { CopyButton } from "./copy_button";
import { Long } from "./long";
import { inLine, visible } from "./visible";

const FEW = 8; // pairs that need no looking for
const MOST = 500; // rows at once
const SHORT = 400; // characters of a value that is shown, and can be clicked, whole

interface PairsProps {
  pairs: readonly Pair[];
  label: string;
  /** The filter's map that has them, as request.headers. */
  map?: string;
  /** Whether the map has names in lower case. */
  lower?: boolean;
}

export function Pairs({ pairs, label, map, lower = false }: PairsProps) {
  const [words, setWords] = useState("");
  const shown = useMemo(() => {
    const wanted = words.toLowerCase();
    return wanted ? pairs.filter((pair) => pair.some((text) => text.toLowerCase().includes(wanted))) : pairs;
  }, [pairs, words]);
  const joined = useMemo(() => {
    const values = new Map<string, string>();
    for (const [name, value] of pairs) {
      const key = lower ? name.toLowerCase() : name;
      const had = values.get(key);
      values.set(key, had === undefined ? value : `${had}, ${value}`);
    }
    return values;
  }, [pairs, lower]);
  if (!pairs.length) return <p class="faint">None.</p>;
  return (
    <>
      {pairs.length > FEW && (
        <input
          type="search"
          class="narrow"
          placeholder={`find in ${count(pairs.length)}`}
          aria-label={`Find in ${label}`}
          spellcheck={false}
          value={words}
          onInput={(event) => setWords(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Escape" || words) event.stopPropagation();
            if (event.key === "Escape") setWords("");
          }}
        />
      )}
      <table class="pairs" aria-label={label}>
        <tbody>
          {shown.slice(0, MOST).map(([name, value], place) => {
            const key = lower ? name.toLowerCase() : name;
            return (
              <tr key={place}>
                <th scope="row">
                  <Long text={inLine(name)} short={120} />
                </th>
                <td>
                  {map && value && value.length <= SHORT ? (
                    <Value variable={member(map, key)} value={joined.get(key) ?? value}>
                      {visible(value)}
                    </Value>
                  ) : (
                    <Long text={value} short={SHORT} />
                  )}
                </td>
                <td class="act">
                  <CopyButton text={() => value} label={`Copy ${name.slice(0, 60)}`} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {shown.length > MOST && <p class="warn">{count(shown.length - MOST)} more: find what you look for.</p>}
      {!shown.length && <p class="faint">None has that.</p>}
    </>
  );
}
