// What the browser remembers for a person: theme, history of filters, saved filters, widths. Never what was captured.

export interface Kept<T> {
  read(): T;
  write(value: T): void;
}

/** A value under "pysniff.NAME"; `missing` where there is none, it cannot be read, or storage is forbidden. */
export function kept<T>(name: string, missing: T): Kept<T> {
  const key = `pysniff.${name}`;
  return {
    read() {
      try {
        const text = localStorage.getItem(key);
        return text === null ? missing : (JSON.parse(text) as T);
      } catch {
        return missing;
      }
    },
    write(value) {
      try {
        localStorage.setItem(key, JSON.stringify(value));
      } catch {
        // Private windows and full disks: it is forgotten with the page.
      }
    },
  };
}
