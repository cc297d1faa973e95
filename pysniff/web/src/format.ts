// Times, sizes and addresses as people read them.
import type { Endpoint } from "./entry";

/** "2026-11-22T11:23:28.104933000Z" as local time of day with milliseconds. */
export function clock(timestamp: string): string {
  const day = new Date(timestamp);
  const two = (value: number) => String(value).padStart(2, "0");
  const milliseconds = String(day.getMilliseconds()).padStart(3, "0");
  return `${two(day.getHours())}:${two(day.getMinutes())}:${two(day.getSeconds())}.${milliseconds}`;
}

/** Microseconds: "86 us", "2.5 ms", "1.2 s". */
export function duration(microseconds: number | null): string {
  if (microseconds === null) return "–";
  if (microseconds < 1_000) return `${microseconds} µs`;
  if (microseconds < 1_000_000) return `${digits(microseconds / 1_000)} ms`;
  if (microseconds < 120_000_000) return `${digits(microseconds / 1_000_000)} s`;
  return `${Math.round(microseconds / 60_000_000)} min`;
}

export function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  for (const [unit, of] of [
    ["kB", 1e3],
    ["MB", 1e6],
    ["GB", 1e9],
  ] as const) {
    if (bytes < of * 1_000) return `${digits(bytes / of)} ${unit}`;
  }
  return `${digits(bytes / 1e12)} TB`;
}

/** "12,345". */
export function count(number: number): string {
  return number.toLocaleString("en");
}

/** "shop.example:80", "10.0.0.7:80", "[fe80::1]:80". */
export function endpoint(end: Endpoint): string {
  const host = end.name || (end.ip.includes(":") ? `[${end.ip}]` : end.ip);
  return `${host}:${end.port}`;
}

function digits(value: number): string {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

/** Both ends of a long text: what is in the middle of a name says least. */
export function shortened(text: string, most: number): string {
  const characters = [...text];
  if (characters.length <= most) return text;
  const begin = Math.ceil((most - 1) * 0.6);
  return `${characters.slice(0, begin).join("")}…${characters.slice(characters.length - (most - 1 - begin)).join("")}`;
}
