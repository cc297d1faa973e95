// A command to type elsewhere, with a button that copies it.
import { CopyButton } from "../call/copy_button";

export function Command({ text }: { text: string }) {
  return (
    <span class="command">
      <code>{text}</code>
      <CopyButton text={() => text} label={`Copy ${text}`} />
    </span>
  );
}
