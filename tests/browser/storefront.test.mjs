// The shop alone, as a customer sees it: found, bought, followed into the warehouse; and what is said when something is
// sold out, slow or away.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import { assertAccessible } from "./axe.mjs";
import { eventually, plain, textOf } from "./browser.mjs";
import { stack, withPage } from "./line.mjs";
import { tree } from "./stack.mjs";

const TEST_TIMEOUT_MS = 150_000;
const HEAL_MS = 60_000;
const SKU = "BRW-FRP-800";

beforeEach(() => setStock(SKU, 5000));

const shop = (test, options) => withPage(stack.env.STOREFRONT_URL, options, test);

const setStock = (sku, stock) => stack.postgres(`UPDATE products SET stock = ${stock} WHERE sku = '${sku}'`);

async function buy(page, sku) {
  await page.getByTestId(`add-${sku}`).click();
  await page.getByTestId("cart-open").click();
  await page.getByTestId("checkout").click();
  return (await eventually(() => textOf(page, "order-id"))).replace(/\D/g, "");
}

const isThere = (page) => page.locator("[data-testid=journey][data-there=true]").waitFor({ timeout: HEAL_MS });

// "within 41 ms" → 41000
function microsOf(shown) {
  const [, figure, unit] = /([\d.]+) (ms|s)$/.exec(shown);
  return Number(figure) * (unit === "ms" ? 1_000 : 1_000_000);
}

describe("storefront", { timeout: 6 * TEST_TIMEOUT_MS }, () => {
  it("is searched, browsed and bought from, and the order is followed into the warehouse", { timeout: TEST_TIMEOUT_MS }, async () => {
    await shop(async (page) => {
      await page.getByTestId("search").fill("glass press");
      await page.getByTestId(`product-${SKU}`).waitFor();
      assert.equal(await page.locator("[data-testid^=product-]").count(), 1);
      await page.getByTestId("category-Tea").click();
      await page.getByTestId("no-match").waitFor();
      await page.getByRole("button", { name: "Show everything" }).click();
      await page.getByTestId("category-Tea").click();
      const [[teas]] = await stack.postgres("SELECT count(*) FROM products WHERE category = 'Tea'");
      await eventually(async () => assert.equal(String(await page.locator("[data-testid^=product-]").count()), teas));
      await page.getByTestId("category-all").click();

      await page.getByRole("link", { name: "French press, 0.8 l" }).click();
      const focused = () => page.evaluate(() => document.activeElement.textContent);
      await eventually(async () => assert.equal(await focused(), "French press, 0.8 l", "the keyboard is at the new page"));
      await page.getByTestId(`add-${SKU}`).first().click();
      await page.getByTestId(`add-${SKU}`).first().click();
      await page.reload(); // the cart is still there
      await page.getByTestId("cart-open").click();
      assert.equal(await page.getByTestId(`line-${SKU}`).locator("input").inputValue(), "2");
      const [[total]] = await stack.postgres(`SELECT 2 * price FROM products WHERE sku = '${SKU}'`);
      assert.equal(plain(await textOf(page, "cart-total")), total);
      await page.getByTestId("name").fill("Ada Lovelace");
      await page.keyboard.press("Enter");

      const order = (await eventually(() => textOf(page, "order-id"))).replace(/\D/g, "");
      await isThere(page);
      const [[us]] = await stack.warehouse(`SELECT toUnixTimestamp64Micro(_loaded_time) - toUnixTimestamp64Micro(_commit_time)
        FROM orders WHERE id = ${order} AND customer_name = 'Ada Lovelace' AND total = ${total}`);
      const shown = await textOf(page, "took-warehouse");
      assert.ok(Math.abs(microsOf(shown) - Number(us)) <= Math.max(500, Number(us) / 10), `${shown} for ${us} us`);
      assert.ok(microsOf(await textOf(page, "took-kafka")) <= microsOf(shown), "Kafka had it before");
      assert.ok(microsOf(await textOf(page, "took-postgres")) > 0);
      assert.match(await textOf(page, "journey-summary"), /is in the warehouse/);

      const [dashboard] = await Promise.all([page.waitForEvent("popup"), page.getByTestId("dashboard-link").first().click()]);
      await dashboard.getByTestId(`recent-order-${order}`).waitFor();
      await dashboard.close();

      await page.getByTestId("orders-open").click();
      await page.getByTestId(`my-order-${order}`).getByRole("link").click();
      await isThere(page); // its way is known later too
      assert.equal(plain(await textOf(page, "order-total")), total);
      assert.equal((await page.getByTestId("cart-open").innerText()).replace(/\D/g, ""), "0");
    });
  });

  it("is usable by everybody in light, dark and on a phone, and nothing moves", { timeout: TEST_TIMEOUT_MS }, async () => {
    await setStock(SKU, 0);
    const { order_id: order } = await stack.placeOrder([{ sku: "TEA-EGR-100", quantity: 2 }]);
    for (const options of [{ colorScheme: "light" }, { colorScheme: "dark" }, { viewport: { width: 360, height: 740 } }]) {
      await shop(async (page) => {
        const what = (name) => `${name}, ${JSON.stringify(options)}`;
        await page.getByTestId(`add-TEA-EGR-100`).click();
        for (const path of ["#/", `#/product/${SKU}`, "#/product/NO-SUCH", "#/cart", `#/order/${order}`, "#/orders", "#/nothing"]) {
          await page.evaluate((hash) => { location.hash = hash; }, path);
          if (path.startsWith("#/order/")) await isThere(page);
          await assertAccessible(page, what(path));
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert.equal(wide, 0, what(`nothing sticks out of ${path}`));
        }
      }, options);
    }
    await shop(async (page) => {
      await page.evaluate(() => {
        globalThis.shift = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) globalThis.shift += entry.value;
        }).observe({ type: "layout-shift", buffered: true });
      });
      await page.getByTestId("busy-day-state").waitFor();
      await page.waitForLoadState("networkidle");
      assert.ok((await page.evaluate(() => globalThis.shift)) < 0.05, "cumulative layout shift of the first page");
    });
  });

  it("says what is sold out, and what there is too little of", { timeout: TEST_TIMEOUT_MS }, async () => {
    await setStock(SKU, 2);
    await shop(async (page) => {
      assert.equal(await textOf(page, `stock-${SKU}`), "Only 2 left");
      await page.getByTestId(`add-${SKU}`).click();
      await page.getByTestId(`add-${SKU}`).click();
      assert.ok(await page.getByTestId(`add-${SKU}`).isDisabled(), "there is no third");
      await setStock(SKU, 1);
      await page.getByTestId("cart-open").click();
      await page.getByTestId("checkout").click();
      assert.match(await eventually(() => textOf(page, "checkout-error")), /Only 1 of French press.* left/);
      await page.getByRole("button", { name: "Take 1" }).click();
      await setStock(SKU, 0);
      await page.getByTestId("checkout").click();
      assert.match(await eventually(() => textOf(page, "checkout-error")), /French press.* out of stock/);
      await page.getByRole("button", { name: "Remove French press, 0.8 l", exact: true }).click();
      assert.equal(await page.getByTestId("checkout").count(), 0);
      await page.evaluate((hash) => { location.hash = hash; }, `#/product/${SKU}`);
      assert.equal(await textOf(page, `stock-${SKU}`), "Out of stock");
      assert.equal(await page.getByTestId(`add-${SKU}`).count(), 0);
    });
  });

  it("starts a busy day and ends it, and the orders arrive", { timeout: TEST_TIMEOUT_MS }, async () => {
    await shop(async (page) => {
      const [[before]] = await stack.postgres("SELECT count(*) FROM orders");
      await page.getByTestId("busy-day").click();
      await eventually(async () => assert.match(await textOf(page, "busy-day-state"), /20 orders a second.*\d\d orders placed.*leave in/));
      const order = await buy(page, "TEA-EGR-100"); // a customer is served all the same
      await isThere(page);
      await page.getByTestId("busy-day").click();
      await eventually(async () => assert.match(await textOf(page, "busy-day-state"), /quiet again/));
      const [, placed] = /([\d,]+) orders placed/.exec(await textOf(page, "busy-day-state"));
      assert.doesNotMatch(await textOf(page, "busy-day-state"), /not served/);
      const [[now]] = await stack.postgres("SELECT count(*) FROM orders");
      // Those who were at the till when the day ended are counted a moment later.
      assert.ok(Math.abs(Number(now) - Number(before) - 1 - Number(plain(placed))) <= 4, `${before} + ${placed} + 1 = ${now}`);
      await stack.wait(30);
      const [[loaded]] = await stack.warehouse(`SELECT count() FROM orders WHERE id >= ${order} - 1000000`);
      assert.deepEqual(await stack.postgres("SELECT count(*) FROM orders"), [[loaded]]);
    });
  });

  it("says that the warehouse is away, and goes on when it is back", { timeout: TEST_TIMEOUT_MS }, async () => {
    await stack.kill("warehouse");
    await shop(async (page) => {
      await buy(page, "TEA-EGR-100");
      const station = page.getByTestId("station-warehouse");
      await eventually(async () => assert.equal(await station.getAttribute("data-state"), "away"));
      await eventually(async () => assert.equal(await page.getByTestId("station-kafka").getAttribute("data-state"), "passed"));
      assert.match(await textOf(page, "journey-summary"), /warehouse does not answer/);
      await assertAccessible(page, "the warehouse is away");
      await stack.start("warehouse");
      await isThere(page);
    });
  });

  it("says that Kafka has not confirmed an order, and goes on when it has", { timeout: TEST_TIMEOUT_MS }, async () => {
    await stack.kill("kafka");
    await shop(async (page) => {
      await buy(page, "TEA-EGR-100");
      await eventually(async () => assert.match(await textOf(page, "took-kafka"), /not confirmed yet|pipeline does not answer/));
      assert.notEqual(await page.getByTestId("station-warehouse").getAttribute("data-state"), "passed");
      await stack.start("kafka");
      await isThere(page);
    });
  });

  it("says that the shop is away, keeps the cart, and opens again", { timeout: TEST_TIMEOUT_MS }, async () => {
    await shop(async (page) => {
      await page.getByTestId("add-TEA-EGR-100").click();
      await stack.kill("postgres");
      await page.getByTestId("cart-open").click();
      await page.getByTestId("checkout").click();
      assert.match(await eventually(() => textOf(page, "checkout-error")), /does not answer/);
      assert.match(await eventually(() => textOf(page, "load-error")), /does not answer/);
      await assertAccessible(page, "the shop's database is away");
      await stack.start("postgres");
      await eventually(async () => {
        if (await page.getByTestId("load-error").count()) await page.getByRole("button", { name: "Try again" }).click();
        assert.equal(await page.getByTestId("load-error").count(), 0);
      }, HEAL_MS, 1000);
      await page.getByTestId("checkout").click();
      await page.getByTestId("order-id").waitFor();

      await page.evaluate(() => { location.hash = "#/order/999999999"; });
      assert.match(await eventually(() => textOf(page, "order-error")), /no such thing/);
      await stack.kill("storefront");
      await page.getByTestId("orders-open").click();
      await page.evaluate(() => { location.hash = "#/order/999999998"; });
      assert.match(await eventually(() => textOf(page, "order-error")), /does not answer/);
      await stack.start("storefront");
    });
  });

  it("looks as the README shows it", { timeout: TEST_TIMEOUT_MS, skip: !process.env.UPDATE_SCREENSHOTS }, async () => {
    await setStock("COF-INS-TIN", 3);
    await setStock("COF-DEC-250", 0);
    const images = join(tree, "docs/images");
    await mkdir(images, { recursive: true });
    const looks = {
      storefront: { colorScheme: "light" },
      "storefront-dark": { colorScheme: "dark" },
      "storefront-phone": { viewport: { width: 390, height: 844 } },
    };
    for (const [name, options] of Object.entries(looks))
      await shop(async (page) => {
        await page.waitForLoadState("networkidle");
        await page.screenshot({ path: join(images, `${name}.png`) });
        if (name === "storefront-dark") return;
        await buy(page, "BRW-MOK-003");
        await isThere(page);
        await page.evaluate(() => document.activeElement?.blur());
        if (name === "storefront") await page.screenshot({ path: join(images, "storefront-order.png") });
      }, options);
    await setStock("COF-DEC-250", 5000);
  });
});
