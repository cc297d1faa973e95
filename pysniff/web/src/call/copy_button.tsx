// A button that copies a text, and says that it did.
import type { ComponentChildren } from "preact";
import { say } from "../shell/say";
import { toClipboard } from "./clipboard";

interface CopyProps {
  text: () => string;
  label: string;
  children?: ComponentChildren;
}

export function CopyButton({ text, label, children }: CopyProps) {
  const copy = async (event: MouseEvent) => {
    event.stopPropagation();
    say((await toClipboard(text())) ? "copied" : "the browser does not allow to copy");
  };
  return (
    <button type="button" class="quiet small copy" aria-label={label} title={label} onClick={copy}>
      {children ?? "copy"}
    </button>
  );
}
