// The input of the filter bar: typing, completion, history and the keys.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { filter as asked } from "../address";
import { checked } from "./check";
import { oneLine } from "./clauses";
import { type Completion, complete } from "./completion";
import { ask, draft, revert, settle, type, typing } from "./draft";
import { Highlighted, isPlain } from "./highlight";
import { past, step } from "./history";
import { language, learn, missing } from "./language";
import { LIST, List, optionId } from "./list";
import { unfinished } from "./unfinished";
import { seen } from "./values";
import { VERDICT, Verdict, wrongAt } from "./verdict";

export function FilterInput() {
  const input = useRef<HTMLInputElement>(null);
  const shown = useRef<HTMLDivElement>(null);
  const focused = useSignal(false);
  const found = useSignal<readonly Completion[]>([]);
  const active = useSignal(-1);
  /** Where in the history the arrow keys are; -1 while something is typed. */
  const walked = useSignal(-1);
  const cursorAt = () => input.current?.selectionStart ?? draft.value.length;

  const close = () => {
    found.value = [];
    active.value = -1;
  };
  const open = () => {
    found.value = complete(draft.value, cursorAt(), language.value, seen);
    active.value = -1;
  };
  const follow = () => {
    if (shown.current && input.current) shown.current.scrollLeft = input.current.scrollLeft;
  };
  const write = (text: string, cursor: number) => {
    type(text);
    const box = input.current;
    if (!box) return;
    box.value = text;
    box.focus();
    box.setSelectionRange(cursor, cursor);
    follow();
  };
  const take = (one: Completion) => {
    const text = draft.value;
    write(text.slice(0, one.from) + one.text + text.slice(one.to), one.cursor);
    open();
  };
  const walk = (up: boolean) => {
    walked.value = step(walked.value, up, past.value.length);
    const text = past.value[walked.value] ?? "";
    write(text, text.length);
    close();
  };
  const key = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    const stop = () => {
      event.preventDefault();
      event.stopPropagation();
    };
    const options = found.value.length;
    const chosen = found.value[active.value];
    switch (event.key) {
      case "Enter":
        stop();
        if (chosen) return take(chosen);
        close();
        return void ask();
      case "Tab": {
        const one = chosen ?? found.value[0];
        if (event.shiftKey || !one || !(chosen || continues(one))) return close();
        stop();
        return take(one);
      }
      case "Escape":
        stop();
        if (options) return close();
        revert();
        return input.current?.blur();
      case "ArrowUp":
      case "ArrowDown": {
        stop();
        const up = event.key === "ArrowUp";
        if (options) {
          // -1 is the text itself, between the last and the first.
          active.value = ((active.value + 1 + (up ? options : 1)) % (options + 1)) - 1;
        } else if (draft.value === "" || walked.value >= 0) walk(up);
        else open();
        return;
      }
      case " ":
        if (!event.ctrlKey) return;
        stop();
        return open();
    }
  };
  const continues = (one: Completion) => one.from < cursorAt();

  useEffect(() => void learn(), []);
  // The language may come while somebody types already.
  const learnt = language.value;
  useEffect(() => {
    if (learnt.variables.length && focused.peek() && draft.peek() !== asked.peek()) open();
  }, [learnt]);
  useEffect(follow);

  const told = checked.value.text === draft.value ? checked.value : null;
  const wrong = told ? wrongAt(told) : -1;
  const waits = focused.value && typing.value && wrong >= 0 && unfinished(draft.value, cursorAt(), wrong);
  const refused = told?.problem && !waits ? told : null;
  const plain = isPlain(draft.value);
  const unasked = draft.value.trim() !== oneLine(asked.value);
  const below = refused ?? (focused.value && told?.meaning && unasked ? told : null);
  const without = focused.value && missing.value;
  return (
    <div class="filter-box">
      <div class={`filter-text${plain ? " plain" : ""}${unasked ? " unasked" : ""}`}>
        {plain && (
          <div class="filter-shown" aria-hidden="true" ref={shown}>
            <Highlighted text={draft.value} wrong={refused ? wrong : -1} />
          </div>
        )}
        <input
          id="filter"
          ref={input}
          type="text"
          class="filter-input"
          role="combobox"
          aria-label="Filter (KFL)"
          aria-autocomplete="list"
          aria-expanded={found.value.length > 0}
          aria-controls={LIST}
          aria-activedescendant={active.value >= 0 ? optionId(active.value) : undefined}
          aria-invalid={refused?.problem?.code === "filter"}
          aria-describedby={below ? VERDICT : undefined}
          placeholder={'Filter calls, as in http && status_code >= 400 ("/")'}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          enterkeyhint="search"
          value={draft.value}
          onInput={(event) => {
            walked.value = -1;
            type(event.currentTarget.value);
            follow();
            if (draft.value === "") close();
            else open();
          }}
          onKeyDown={key}
          onScroll={follow}
          onClick={close}
          onFocus={() => {
            focused.value = true;
            void learn();
          }}
          onBlur={() => {
            focused.value = false;
            walked.value = -1;
            settle();
            close();
          }}
        />
      </div>
      {(found.value.length > 0 || below || without) && (
        <div class="filter-below">
          {below && <Verdict checked={below} onMend={(text) => write(text, text.length)} />}
          {without && <div class="filter-error">There is no completion: {without.message}</div>}
          {found.value.length > 0 && <List found={found.value} active={active.value} onTake={take} />}
          {found.value.length > 0 && (
            <div class="filter-keys" aria-hidden="true">
              <kbd>↑</kbd>
              <kbd>↓</kbd> choose <kbd>Tab</kbd> take <kbd>Enter</kbd> ask <kbd>Esc</kbd> close
            </div>
          )}
        </div>
      )}
    </div>
  );
}
