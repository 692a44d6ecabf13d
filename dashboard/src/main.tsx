import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Dashboard } from "./Dashboard";
import { useFeed, useNow } from "./follow";
import "uplot/dist/uPlot.min.css";
import "./tokens.css";
import "./style.css";

const CLOCK_INTERVAL_MS = 500;

function Page() {
  const feed = useFeed("api/summary", "api/events");
  return <Dashboard feed={feed} now_ms={useNow(CLOCK_INTERVAL_MS)} />;
}

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no element #root");
createRoot(root).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
