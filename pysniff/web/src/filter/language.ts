// What a filter may say, as the hub tells it once (GET /api/filter).
import { signal } from "@preact/signals";
import { ask, Problem } from "../api";

export interface Variable {
  name: string;
  type: string;
  meaning: string;
  section: string;
}

/** A signature: `of` is the type of what it stands behind, "_" any, "" where nothing does. */
export interface Word {
  name: string;
  kind: "function" | "method" | "operator" | "macro";
  of: string;
  takes: readonly string[];
  gives: string;
  signature: string;
  meaning: string;
}

export interface Language {
  variables: readonly Variable[];
  functions: readonly Word[];
}

export const language = signal<Language>({ variables: [], functions: [] });
/** Why there is no completion; null where there is. */
export const missing = signal<Problem | null>(null);

let asked: Promise<void> | null = null;

/** Once; again after it failed. */
export function learn(): Promise<void> {
  asked ??= told();
  return asked;
}

async function told(): Promise<void> {
  try {
    language.value = await ask<Language>("/api/filter");
    missing.value = null;
  } catch (error) {
    asked = null;
    if (!(error instanceof Problem)) throw error;
    missing.value = error;
  }
}

/** "list" of "list(string)". */
export function typeName(type: string): string {
  return type.replace(/\(.*/, "");
}
