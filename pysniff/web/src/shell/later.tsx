// Parts of the page that come when they are first shown: the script that every visit needs stays small.
//
// Their style sheets are in style.css: a rule that comes later would move what is there.
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";

/** A component in a script of its own. Where the hub is gone meanwhile it says so; showing it again asks again. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  const loaded = signal<{ Part: ComponentType<P> } | "missing" | null>(null);
  let asking = false;
  const ask = () => {
    asking = true;
    load().then(
      (Part) => {
        loaded.value = { Part };
      },
      () => {
        loaded.value = "missing";
        asking = false;
      },
    );
  };
  return function Later(props: P) {
    const now = loaded.value;
    if (now === "missing") {
      return (
        <p class="later" role="alert">
          The hub does not answer, and this part of the page is still with it.{" "}
          <button type="button" onClick={ask}>
            Try again
          </button>
        </p>
      );
    }
    if (now) return <now.Part {...props} />;
    if (!asking) ask();
    return (
      <p class="later faint" aria-busy="true">
        …
      </p>
    );
  };
}

const SOON = 2_000; // milliseconds

/** Have it ready before somebody asks, once the browser has nothing else to do, or so soon. */
export function soon(load: () => Promise<unknown>): void {
  const idle = window.requestIdleCallback ?? ((run: () => void) => setTimeout(run, SOON));
  idle(() => void load().catch(() => {}), { timeout: SOON }); // a failure is told when it is shown
}
