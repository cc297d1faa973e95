// The colours of style.css as a canvas takes them: resolved for the theme that is on.
import { signal } from "@preact/signals";
import { theme } from "../shell/theme";

const known = new Map<string, string>();
let probe: HTMLElement | null = null;

/** Counts up when colours are others. */
export const repainted = signal(0);

/** "--http" as rgb(...): light-dark() means nothing to a canvas. */
export function colour(variable: string): string {
  const found = known.get(variable);
  if (found) return found;
  if (!probe?.isConnected) {
    probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(${variable})`;
  const resolved = getComputedStyle(probe).color;
  known.set(variable, resolved);
  return resolved;
}

/** The same, so much of it let through. */
export function faded(variable: string, alpha: number): string {
  return colour(variable).replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

function forget(): void {
  known.clear();
  repainted.value += 1;
}

// After the frame has put the theme into the document (shell/theme.ts).
theme.subscribe(() => queueMicrotask(forget));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", forget);

const PROTOCOLS: Record<string, string> = {
  http: "--http",
  grpc: "--grpc",
  ws: "--ws",
  dns: "--dns",
  redis: "--redis",
  tlsx: "--tlsx",
};

export function protocolColour(protocol: string): string {
  return PROTOCOLS[protocol] ?? "--other";
}
