// Tabs as the authoring practices have them: one stop for the keyboard, arrows go on, home and end too.
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

export interface Tab {
  id: string;
  name: string;
  mark?: string;
}

interface TabsProps {
  tabs: readonly Tab[];
  chosen: string;
  label: string;
  onChoose: (id: string) => void;
  children: ComponentChildren;
}

export function Tabs({ tabs, chosen, label, onChoose, children }: TabsProps) {
  const list = useRef<HTMLDivElement>(null);
  const key = (event: KeyboardEvent) => {
    const at = tabs.findIndex(({ id }) => id === chosen);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const next = tabs[(to + tabs.length) % tabs.length];
    if (!next) return;
    onChoose(next.id);
    list.current?.querySelector<HTMLElement>(`#call-tab-${next.id}`)?.focus();
  };
  return (
    <>
      <div class="call-tabs" role="tablist" aria-label={label} ref={list} onKeyDown={key}>
        {tabs.map(({ id, name, mark }) => (
          <button
            type="button"
            key={id}
            id={`call-tab-${id}`}
            class="call-tab"
            role="tab"
            aria-selected={id === chosen}
            aria-controls="call-panel"
            tabIndex={id === chosen ? 0 : -1}
            onClick={() => onChoose(id)}
          >
            {name}
            {mark && <span class="mark">{mark}</span>}
          </button>
        ))}
      </div>
      <div
        class="call-panel"
        id="call-panel"
        role="tabpanel"
        aria-labelledby={`call-tab-${chosen}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
      >
        {children}
      </div>
    </>
  );
}
