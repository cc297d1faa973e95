// Dark or light: as the system says, until somebody chooses. style.css has the colours.
import { effect, signal } from "@preact/signals";
import { kept } from "./kept";

export type Theme = "system" | "dark" | "light";
const NEXT: Record<Theme, Theme> = { system: "dark", dark: "light", light: "system" };

const stored = kept<Theme>("theme", "system");
export const theme = signal<Theme>(stored.read() in NEXT ? stored.read() : "system");

export function turn(): void {
  theme.value = NEXT[theme.value];
  stored.write(theme.value);
}

export function begin(): void {
  effect(() => {
    if (theme.value === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.value;
  });
}
