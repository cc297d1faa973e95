// What is captured, and the form that changes it on all workers at once.
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { Problem } from "../api";
import { say } from "../shell/say";
import {
  change,
  configuration,
  FIELDS,
  type Field,
  meant,
  type Patch,
  read,
  type Taken,
  written,
} from "./configuration";
import { told } from "./poll";

const WORDS: Record<Field, { name: string; example: string; meaning: string; none: string }> = {
  bpf: {
    name: "Capture filter",
    example: "tcp port 80 or udp port 53",
    meaning: "as of tcpdump; empty: everything",
    none: "everything",
  },
  interfaces: {
    name: "Interfaces",
    example: "eth0 lo",
    meaning: "names; empty: every one, also those that come",
    none: "every one",
  },
  targets: {
    name: "Targets",
    example: "10.0.0.7 10.1.0.0/16",
    meaning: "only packets from or to these addresses and networks; empty: any",
    none: "any",
  },
  storage_limit: {
    name: "Store",
    example: "200 MB",
    meaning: "bytes on each node; the oldest packets go first",
    none: "–",
  },
};

export function Configured() {
  const failed = useSignal<Problem | null>(null);
  const editing = useSignal(false);
  // Read again as workers come and go: what each made of it is part of the answer.
  const known = useComputed(() =>
    told.value?.workers.map(({ state, figures }) => state + figures?.config_version).join(),
  );
  useSignalEffect(() => {
    if (known.value !== undefined && !editing.peek()) read().catch((error) => report(error));
  });
  const report = (error: unknown) => {
    failed.value = error instanceof Problem ? error : new Problem(0, "option", String((error as Error).message), "");
  };
  const present = configuration.value;
  return (
    <section class="configured" aria-labelledby="captured">
      <header>
        <h2 id="captured">What is captured</h2>
        {present && !editing.value && (
          <button
            type="button"
            onClick={() => {
              failed.value = null;
              editing.value = true;
            }}
          >
            Change …
          </button>
        )}
      </header>
      {failed.value && (
        <p class="failing captured" role="alert">
          {failed.value.message}
          {failed.value.hint && <span class="faint"> {failed.value.hint}</span>}
        </p>
      )}
      {present && editing.value && (
        <Form
          onDone={async (patch) => {
            try {
              await change(patch, present.version);
              failed.value = null;
              editing.value = false;
              say("changed");
            } catch (error) {
              report(error);
              if (error instanceof Problem && error.status === 412) await read().catch(report);
            }
          }}
          onWrong={report}
          onLeave={() => {
            failed.value = null;
            editing.value = false;
          }}
        />
      )}
      {present && <Answers taken={present.workers} version={present.version} />}
      {present?.conflicts.map((text) => (
        <p key={text} class="uneasy captured">
          {text}
        </p>
      ))}
    </section>
  );
}

interface Doing {
  onDone: (patch: Patch) => Promise<void>;
  onWrong: (error: unknown) => void;
  onLeave: () => void;
}

/** Each setting is set here for all workers, or left to what each was started with. */
function Form({ onDone, onWrong, onLeave }: Doing) {
  const present = configuration.peek();
  const config = present?.config ?? {};
  const one = Object.values(present?.workers ?? {}).find((taken) => taken.effective.bpf !== undefined);
  const begun = (field: Field) => written(field, field in config ? config : (one?.effective ?? {}));
  const texts = useSignal(Object.fromEntries(FIELDS.map((field) => [field, begun(field)])));
  const set = useSignal<Record<string, boolean>>(Object.fromEntries(FIELDS.map((field) => [field, field in config])));
  const busy = useSignal(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    try {
      const patch: Patch = {};
      for (const field of FIELDS) {
        if (set.value[field]) Object.assign(patch, { [field]: meant(field, texts.value[field] ?? "") });
        else if (field in config) patch[field] = null;
      }
      busy.value = true;
      await onDone(patch);
    } catch (error) {
      onWrong(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <form onSubmit={submit}>
      {FIELDS.map((field) => (
        <div class="setting" key={field}>
          <label class="whether">
            <input
              type="checkbox"
              checked={set.value[field] ?? false}
              onChange={(event) => {
                set.value = { ...set.value, [field]: event.currentTarget.checked };
              }}
            />
            {WORDS[field].name}
            <span class="hidden"> is set for all workers</span>
          </label>
          <input
            class="mono"
            value={texts.value[field] ?? ""}
            placeholder={set.value[field] ? `${WORDS[field].none}, or ${WORDS[field].example}` : ""}
            disabled={!set.value[field]}
            aria-label={WORDS[field].name}
            aria-describedby={`about-${field}`}
            spellcheck={false}
            autocomplete="off"
            onInput={(event) => {
              texts.value = { ...texts.value, [field]: event.currentTarget.value };
            }}
          />
          <small id={`about-${field}`} class="faint">
            {set.value[field] ? WORDS[field].meaning : "as each worker was started with"}
          </small>
        </div>
      ))}
      <p class="faint">
        It takes the place of what is in force on every worker that is connected, at once, and is kept.
      </p>
      <div class="buttons">
        <button type="submit" class="main" disabled={busy.value}>
          {busy.value ? "Asking the workers …" : "Change on all workers"}
        </button>
        <button type="button" onClick={onLeave}>
          Leave it
        </button>
      </div>
    </form>
  );
}

/** What each worker made of it, and what it does now. */
function Answers({ taken, version }: { taken: Record<string, Taken>; version: number }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled with the keyboard
    <section class="scrolled" tabIndex={0} aria-label="What each worker captures">
      <table>
        <thead>
          <tr>
            <th scope="col">Node</th>
            {FIELDS.map((field) => (
              <th scope="col" key={field}>
                {WORDS[field].name}
              </th>
            ))}
            <th scope="col">Answer</th>
          </tr>
        </thead>
        <tbody>
          {Object.entries(taken).map(([node, one]) => (
            <tr key={node}>
              <th scope="row" class="captured">
                {node}
              </th>
              {FIELDS.map((field) => (
                <td key={field} class="captured mono">
                  {one.effective[field] === undefined ? "–" : written(field, one.effective) || WORDS[field].none}
                </td>
              ))}
              <td class={one.accepted ? "captured" : "captured failing"}>{answer(one, version)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function answer(one: Taken, version: number): string {
  if (!one.accepted) return one.reason || "did not take it";
  if (!one.version) return "as started";
  return one.version === version ? `took version ${version}` : `has version ${one.version}`;
}
