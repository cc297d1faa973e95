// The frame around everything: tabs, filter bar, the view, the chosen call beside it, the status line.
import { call, VIEWS, type View, view } from "../address";
import { CallPane } from "../call/pane";
import { FeedControls } from "../feed/controls";
import { Feed } from "../feed/feed";
import { Figures } from "../figures/figures";
import { FilterBar } from "../filter/bar";
import { ServiceMap } from "../map/map";
import { StatusLine } from "../workers/line";
import { Workers } from "../workers/workers";
import { Split } from "./split";
import { theme, turn } from "./theme";

const NAMES: Record<View, string> = { calls: "Calls", map: "Map", figures: "Figures", workers: "Workers" };

export function App() {
  return (
    <div class="app">
      <header class="top">
        <h1 class="brand">
          <img src="/static/icon.svg" alt="" width="22" height="22" />
          PySniff
        </h1>
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
        <FeedControls />
        <button type="button" class="quiet" onClick={turn} aria-label={`Colours: ${theme.value}`} title="Dark or light">
          {{ system: "◐", dark: "●", light: "○" }[theme.value]}
        </button>
      </header>
      <FilterBar />
      <main class="views">
        <Split first={<Shown />} second={call.value ? <CallPane /> : null} />
      </main>
      <StatusLine />
    </div>
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
