// The focus stays where one works: keys would go nowhere once what had it is gone, as a form that was sent, a row that
// was deleted, or what stood there until something was loaded.

/**
 * Where what has the focus within a box goes away, what it stood in gets it, the innermost that takes it; else what
 * `next` gives. Before the next key comes; ends with what is returned.
 */
export function keepFocus(box: HTMLElement, next: () => HTMLElement | null | undefined = () => null): () => void {
  let held: EventTarget[] = []; // what has the focus, and what that stands in
  const came = (event: FocusEvent) => {
    const path = event.composedPath();
    held = path.slice(0, path.indexOf(box) + 1);
  };
  // Browsers differ in whether they say so of what is taken away; who goes on purpose leaves it in its place.
  const went = () =>
    queueMicrotask(() => {
      if (held[0] instanceof Node && held[0].isConnected && held[0] !== document.activeElement) held = [];
    });
  const regain = () => {
    if (!held.length || document.activeElement !== document.body) return;
    const [gone, ...around] = held;
    if (gone instanceof Node && gone.isConnected) return;
    const still = around.find((one) => one instanceof HTMLElement && one.isConnected && one.matches("[tabindex]"));
    ((still as HTMLElement | undefined) ?? next())?.focus({ preventScroll: true });
  };
  const changes = new MutationObserver(regain);
  changes.observe(box, { childList: true, subtree: true });
  box.addEventListener("focusin", came);
  box.addEventListener("focusout", went);
  return () => {
    changes.disconnect();
    box.removeEventListener("focusin", came);
    box.removeEventListener("focusout", went);
  };
}
