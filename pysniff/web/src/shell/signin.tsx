// Signing in: the hub gives a cookie to who opens /?token=...; the address behind the # stays what it was.
//
// The token is tried first, so that a wrong one is told here; it is kept nowhere but in the field.
import { useRef, useState } from "preact/hooks";
import { ask, Problem } from "../api";

export function SignIn() {
  const field = useRef<HTMLInputElement>(null);
  const [wrong, tell] = useState("");
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    try {
      await ask("/api/workers", { headers: { Authorization: `Bearer ${field.current?.value ?? ""}` } });
    } catch (error) {
      tell(error instanceof Problem && error.code === "token" ? "That is not the hub's token." : String(error));
      field.current?.select();
      return;
    }
    form.action = `/${location.hash}`;
    form.submit();
  };
  return (
    <main class="signin">
      <form method="get" action="/" onSubmit={submit}>
        <img src="/static/icon.svg" alt="" width="48" height="48" />
        <h1>PySniff</h1>
        <label for="token">The hub's token</label>
        <input
          id="token"
          name="token"
          type="password"
          ref={field}
          autocomplete="off"
          spellcheck={false}
          required
          autofocus
          aria-invalid={wrong ? true : undefined}
          aria-describedby="where wrong"
        />
        <p id="wrong" class="failing" role="alert">
          {wrong}
        </p>
        <button type="submit" class="main">
          Sign in
        </button>
        <p id="where" class="faint">
          It is in the file that <code>--token-file</code> names, in <code>PYSNIFF_TOKEN</code>, or in{" "}
          <code>~/.local/state/pysniff/token</code> of whoever runs the hub. The hub also prints a link with it when it
          starts in a terminal.
        </p>
      </form>
    </main>
  );
}
