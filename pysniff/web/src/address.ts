// What the address bar says: the view, the question, and the chosen calls. A link shows a colleague the same thing.
//
// It stands behind the #, which browsers keep to themselves and carry over the sign-in's redirection.
import { batch, effect, signal } from "@preact/signals";

export const VIEWS = ["calls", "map", "figures", "workers"] as const;
export type View = (typeof VIEWS)[number];

export const view = signal<View>("calls");
/** The display filter that is asked; what is being typed is the filter bar's. */
export const filter = signal("");
/** As /api/entries takes them: an instant, "10m" (ago), or "" for open. */
export const from = signal("");
export const to = signal("");
/** The id of the call that is shown, and of the one it is compared with. */
export const call = signal("");
export const compared = signal("");

const texts = { filter, from, to, call, compared };

export function written(): string {
  const query = new URLSearchParams();
  for (const [name, text] of Object.entries(texts)) if (text.value) query.set(name, text.value);
  const rest = query.toString();
  return `#/${view.value}${rest ? `?${rest}` : ""}`;
}

export function read(hash: string): void {
  const [path = "", rest = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const query = new URLSearchParams(rest);
  batch(() => {
    view.value = VIEWS.find((name) => name === path) ?? "calls";
    for (const [name, text] of Object.entries(texts)) text.value = query.get(name) ?? "";
  });
}

/** Follow the address, and let it follow. Another view or question is a step back; another selection is not. */
export function begin(): void {
  read(location.hash);
  let step = "";
  let following = true; // what came from the address is no step, however it was written there
  effect(() => {
    const hash = written();
    const now = `${view.value} ${filter.value} ${from.value} ${to.value}`;
    if (hash !== location.hash) history[following || now === step ? "replaceState" : "pushState"](null, "", hash);
    step = now;
  });
  following = false;
  const follow = () => {
    following = true;
    read(location.hash);
    following = false;
  };
  addEventListener("popstate", follow);
  addEventListener("hashchange", follow);
}
