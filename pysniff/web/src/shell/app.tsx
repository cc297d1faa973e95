// The frame around everything: tabs, filter bar, the view, the chosen call beside it, the status line.
import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { call, VIEWS, type View, view } from "../address";
import { CallPane } from "../call/pane";
import { FeedControls } from "../feed/controls";
import { Feed } from "../feed/feed";
import { FilterBar } from "../filter/bar";
import { StatusLine } from "../workers/line";
import { trouble } from "../workers/poll";
import { later, soon } from "./later";
import { Said } from "./say";
import { SignIn } from "./signin";
import { Split } from "./split";
import { theme, turn } from "./theme";
import { title } from "./title";

const NAMES: Record<View, string> = { calls: "Calls", map: "Map", figures: "Figures", workers: "Workers" };

const map = () => import("../map/map").then((part) => part.ServiceMap);
const figures = () => import("../figures/figures").then((part) => part.Figures);
const ServiceMap = later(map);
const Figures = later(figures);
const Workers = later(() => import("../workers/workers").then((part) => part.Workers));
// What they show accumulates from when they are here.
soon(() => Promise.all([map(), figures()]));

export function App() {
  const main = useRef<HTMLElement>(null);
  useSignalEffect(() => {
    document.title = title();
  });
  const signedOut = trouble.value?.status === 401;
  return (
    <div class="app">
      {signedOut ? (
        <SignIn />
      ) : (
        <>
          <button type="button" class="skip" onClick={() => main.current?.focus()}>
            Skip to {NAMES[view.value].toLowerCase()}
          </button>
          <header class="top">
            <h1 class="brand">
              <img src="/static/icon.svg" alt="" width="22" height="22" />
              <span>PySniff</span>
            </h1>
            <Views />
            <FeedControls />
            <Colours />
          </header>
          <FilterBar />
          <main class="views" ref={main} tabIndex={-1} aria-label={NAMES[view.value]}>
            <Split first={<Shown />} second={call.value ? <CallPane /> : null} />
          </main>
        </>
      )}
      <StatusLine hidden={signedOut} />
      <Said />
    </div>
  );
}

function Views() {
  return (
    <nav class="tabs" aria-label="Views">
      {VIEWS.map((name) => (
        <button
          type="button"
          key={name}
          class="tab"
          aria-current={view.value === name ? "page" : undefined}
          onClick={() => {
            view.value = name;
          }}
        >
          {NAMES[name]}
        </button>
      ))}
    </nav>
  );
}

const COLOURS = { system: "as the system", dark: "dark", light: "light" };

/** A disc of which the half, all or nothing is filled. */
function Colours() {
  const filled = { system: "M8 2a6 6 0 0 1 0 12z", dark: "M8 2a6 6 0 0 1 0 12A6 6 0 0 1 8 2z", light: "" }[theme.value];
  const words = `Colours: ${COLOURS[theme.value]}`;
  return (
    <button type="button" class="quiet colours" onClick={turn} aria-label={words} title={words}>
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.5" />
        <path d={filled} fill="currentColor" />
      </svg>
    </button>
  );
}

function Shown() {
  switch (view.value) {
    case "calls":
      return <Feed />;
    case "map":
      return <ServiceMap />;
    case "figures":
      return <Figures />;
    case "workers":
      return <Workers />;
  }
}
