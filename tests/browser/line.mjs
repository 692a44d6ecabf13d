// The real parts and a browser, for all tests of a file; and what each asks of a page.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, openPage } from "./browser.mjs";
import { Stack } from "./stack.mjs";

const STACK_TIMEOUT_MS = 240_000;

export let stack;
export let browser;

before(async () => {
  stack = await Stack.up();
  browser = await launch();
}, { timeout: STACK_TIMEOUT_MS });

after(async () => {
  await browser?.close();
  await stack?.down();
}, { timeout: STACK_TIMEOUT_MS });

// Runs `test` on a page of its own, which must not break meanwhile nor ask anybody else.
export async function withPage(url, options, test) {
  const page = await openPage(browser, url, options);
  try {
    await test(page);
    page.check();
  } finally {
    await page.context().close();
  }
}

export async function isLive(page) {
  assert.equal(await page.getByTestId("health").getAttribute("data-health"), "live");
}
