// What is captured, as the hub tells it and as a person writes it: GET and PATCH /api/config (docs/worker.md).
import { signal } from "@preact/signals";
import { ask } from "../api";
import { size } from "../format";

/** What a worker does; a hub may set each for all workers, else its own command line says it. */
export interface Settings {
  interfaces: string[];
  netns: string[];
  bpf: string;
  targets: string[];
  storage_limit: number;
  flush_interval: number;
}

export interface Taken {
  version: number;
  accepted: boolean;
  reason: string;
  effective: Partial<Settings>;
}

export interface Configuration {
  version: number;
  config: Partial<Settings>;
  workers: Record<string, Taken>;
  conflicts: string[];
}

export const configuration = signal<Configuration | null>(null);
/** The capture filter and targets in force on each worker, by node. */
export const narrowed = signal<ReadonlyMap<string, { bpf: string; targets: readonly string[] }> | null>(null);

/** Throws Problem. */
export async function read(): Promise<Configuration> {
  return took(await ask<Configuration>("/api/config"));
}

export type Patch = { [Name in keyof Settings]?: Settings[Name] | null };

/** Change what stands at `version`; throws Problem, also where somebody else has changed it meanwhile. */
export async function change(patch: Patch, version: number): Promise<Configuration> {
  const headers = { "Content-Type": "application/merge-patch+json", "If-Match": `"${version}"` };
  return took(await ask<Configuration>("/api/config", { method: "PATCH", headers, body: JSON.stringify(patch) }));
}

function took(told: Configuration): Configuration {
  configuration.value = told;
  const found = Object.entries(told.workers).map(
    ([node, { effective }]) => [node, { bpf: effective.bpf ?? "", targets: effective.targets ?? [] }] as const,
  );
  narrowed.value = new Map(found);
  return told;
}

// As people write it

export const FIELDS = ["bpf", "interfaces", "targets", "storage_limit"] as const;
export type Field = (typeof FIELDS)[number];

export function written(field: Field, settings: Partial<Settings>): string {
  const value = settings[field];
  if (value === undefined) return "";
  if (typeof value === "number") return size(value).replace(".0 ", " ");
  return typeof value === "string" ? value : value.join(" ");
}

/** The value that a text stands for; throws Error with what is wrong with a size. The hub checks the rest. */
export function meant(field: Field, text: string): string | string[] | number {
  if (field === "bpf") return text.trim();
  if (field === "storage_limit") return bytesOf(text);
  return text.split(/[\s,]+/).filter(Boolean);
}

const UNITS: Record<string, number> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 1024,
  kib: 1024,
  m: 1024 ** 2,
  mib: 1024 ** 2,
  g: 1024 ** 3,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

/** Bytes of "200 MB", "64k", "1GiB": k, M, G and KiB ... are powers of 1024, as on the command line. */
export function bytesOf(text: string): number {
  const [, number = "", unit = ""] = /^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*$/.exec(text) ?? [];
  const factor = UNITS[unit.toLowerCase()];
  if (!number || factor === undefined) throw new Error(`“${text}” is not a size: write 200 MB, or 64k`);
  return Math.floor(Number(number) * factor);
}
