// What may be typed next, as a list box of which the input has the keyboard.
import { useEffect, useRef } from "preact/hooks";
import type { Completion } from "./completion";

export const LIST = "filter-list";
export const optionId = (place: number) => `filter-option-${place}`;

const MARKS: Record<Completion["kind"], string> = {
  variable: "x",
  value: "=",
  operator: "∘",
  function: "ƒ",
  word: "·",
};

export function List({
  found,
  active,
  onTake,
}: {
  found: readonly Completion[];
  active: number;
  onTake: (one: Completion) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    box.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  });
  return (
    <div class="filter-list" id={LIST} role="listbox" aria-label="Completions" ref={box}>
      {found.map((one, place) => (
        // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the input (aria-activedescendant)
        // biome-ignore lint/a11y/useKeyWithClickEvents: the input has the keys
        <div
          key={`${one.kind} ${one.label}`}
          id={optionId(place)}
          class="filter-option"
          role="option"
          aria-selected={place === active}
          onPointerDown={(event) => event.preventDefault()}
          onClick={() => onTake(one)}
        >
          <span class={`filter-mark is-${one.kind}`} aria-hidden="true">
            {MARKS[one.kind]}
          </span>
          <span class="filter-label captured">{one.label}</span>
          <span class="filter-detail">{one.detail}</span>
          <span class="filter-meaning">{one.meaning}</span>
        </div>
      ))}
    </div>
  );
}
