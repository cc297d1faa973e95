// The conversation of a call: its calls, and its bytes.
import { signal } from "@preact/signals";
import type { Entry } from "../entry";
import { ofStream } from "./addresses";
import { Bytes } from "./bytes";
import { ConnectionCalls } from "./connection";
import { Download } from "./download";

/** Who goes from call to call of a connection keeps looking at it in one form. */
const form = signal<"calls" | "bytes">("calls");

export function Stream({ entry }: { entry: Entry }) {
  return (
    <div class="stream">
      <fieldset class="choice stream-choice">
        <legend class="hidden">The connection as</legend>
        <button
          type="button"
          aria-pressed={form.value === "calls"}
          onClick={() => {
            form.value = "calls";
          }}
        >
          Calls
        </button>
        <button
          type="button"
          aria-pressed={form.value === "bytes"}
          onClick={() => {
            form.value = "bytes";
          }}
        >
          Bytes
        </button>
        <span class="faint mono captured stream-name">{entry.stream}</span>
        <Download href={ofStream(entry)}>pcapng of the connection</Download>
      </fieldset>
      {form.value === "calls" ? (
        <ConnectionCalls key={entry.stream} entry={entry} />
      ) : (
        <Bytes key={entry.stream} entry={entry} />
      )}
    </div>
  );
}
