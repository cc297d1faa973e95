// Which tab of the call is shown; it stays while one goes from call to call.
import { signal } from "@preact/signals";

export const shown = signal("overview");

export function show(tab: string): void {
  shown.value = tab;
}
