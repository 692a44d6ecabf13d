// A browser with a fresh profile, pages that may speak to nobody but their own server, and patience with a bound.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const ACTION_TIMEOUT_MS = 15_000;

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGUMENTS });
}

// A page in a context of its own. `check()` fails if the page broke or asked anyone but `origin`.
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(ACTION_TIMEOUT_MS);
  const page = await context.newPage();
  const { origin } = new URL(url);
  const faults = [];
  page.on("pageerror", (error) => faults.push(`uncaught: ${error}`));
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (asked.protocol !== "data:" && asked.origin !== origin) faults.push(`request to ${asked.origin}`);
  });
  page.check = () => assert.deepEqual(faults, []);
  await page.goto(url);
  return page;
}

// Tries until `attempt` no longer throws; at the end of the time its last error is the test's.
export async function eventually(attempt, timeout_ms = 20_000, interval_ms = 250) {
  const deadline = Date.now() + timeout_ms;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await sleep(interval_ms);
  }
}

export async function textOf(page, testid) {
  return (await page.getByTestId(testid).first().innerText()).trim();
}

// "$1,234.50" as the databases write it: 1234.50.
export function plain(shown) {
  return shown.replace(/[$,€\s]/g, "");
}
