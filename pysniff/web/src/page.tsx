// The page: what the address says, the colours, and everything else below App.
import { render } from "preact";
import { begin as followAddress } from "./address";
import { App } from "./shell/app";
import { begin as useTheme } from "./shell/theme";
import "./style.css";

followAddress();
useTheme();
render(<App />, document.body);
