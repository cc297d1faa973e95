// The time that is asked for: the address says it as the hub takes it, people read and choose local time.
import { batch } from "@preact/signals";
import { from, to } from "../address";

export const PRESETS = [
  { words: "Last 5 min", ago: "5m" },
  { words: "Last 15 min", ago: "15m" },
  { words: "Last hour", ago: "1h" },
  { words: "All", ago: "" },
] as const;

/** Ask for calls that began between two instants, in ms since 1970; ranges of more than ten seconds in whole ones. */
export function choose(fromMs: number, toMs: number): void {
  const [first, last] = fromMs <= toMs ? [fromMs, toMs] : [toMs, fromMs];
  const unit = last - first > 10_000 ? 1_000 : 1;
  set(instant(Math.floor(first / unit) * unit), instant(Math.ceil(last / unit) * unit));
}

export function set(first: string, last: string): void {
  batch(() => {
    from.value = first;
    to.value = last;
  });
}

/** In words: "All", "Last 15 min", "14:03:20 – 14:05:00", "since 3 Nov, 14:03:20". */
export function inWords(first: string, last: string, now = new Date()): string {
  if (last === "") {
    const preset = PRESETS.find(({ ago }) => ago === first);
    if (preset) return preset.words;
    return first === "now" ? "From now" : isAgo(first) ? `Last ${first}` : `Since ${spoken(first, now)}`;
  }
  if (first === "") return `Until ${spoken(last, now)}`;
  return `${spoken(first, now)} – ${spoken(last, now)}`;
}

function isAgo(text: string): boolean {
  return /^[0-9.]+[a-z]+$/.test(text);
}

function spoken(text: string, now: Date): string {
  const time = parsed(text);
  if (time === null) return isAgo(text) ? `${text} ago` : text;
  const clock = time.toLocaleTimeString("en-GB");
  const part = time.getMilliseconds() ? `.${String(time.getMilliseconds()).padStart(3, "0")}` : "";
  if (time.toDateString() === now.toDateString()) return clock + part;
  const year = time.getFullYear() === now.getFullYear() ? {} : { year: "numeric" as const };
  return `${time.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...year })}, ${clock}${part}`;
}

/** An instant as the address has it: RFC 3339, or whole nanoseconds since 1970; null of anything else. */
export function parsed(text: string): Date | null {
  const time = /^[0-9]{16,}$/.test(text)
    ? new Date(Number(BigInt(text) / 1_000_000n))
    : new Date(/^[0-9]{4}-/.test(text) ? text : Number.NaN);
  return Number.isNaN(time.getTime()) ? null : time;
}

export function instant(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

/** For <input type="datetime-local" step="1">: local time; "" where there is none. */
export function local(text: string): string {
  const time = parsed(text);
  if (time === null) return "";
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${String(time.getFullYear()).padStart(4, "0")}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day}T${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** The other way: what was chosen in local time, as the hub takes it. */
export function universal(text: string): string {
  const time = text === "" ? Number.NaN : new Date(text).getTime();
  return Number.isNaN(time) ? "" : instant(time);
}
