// A person's walk: buy in the shop by clicking, watch it arrive on the dashboard, and see both pages tell the truth
// when something is wrong. Every figure a page shows is compared with what SQL says.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually, openPage, plain, textOf } from "./browser.mjs";
import { browser, isLive, stack } from "./line.mjs";

const TEST_TIMEOUT_MS = 120_000;

const openShop = (options) => openPage(browser, stack.env.STOREFRONT_URL, options);
const openDashboard = (options) => openPage(browser, stack.env.AGENT_URL, options);

// The dashboard's figures of the shop equal the same questions put to the warehouse, which equal Postgres's own answers.
async function totalsAgree(page) {
  const shown = [
    await textOf(page, "orders-total"), await textOf(page, "revenue-total"), await textOf(page, "average-order-value"),
  ].map(plain);
  const [warehouse] = await stack.warehouse(
    "SELECT count(), toDecimalString(sum(total), 2), toDecimalString(round(toDecimal128(sum(total), 6) / count(), 2), 2) FROM orders",
  );
  const [postgres] = await stack.postgres("SELECT count(*), sum(total), round(avg(total), 2) FROM orders");
  assert.deepEqual(shown, warehouse, "dashboard and warehouse");
  assert.deepEqual(warehouse, postgres, "warehouse and Postgres");
}

// Puts `quantity` of a product into the cart, as a person would.
async function addToCart(page, sku, quantity) {
  for (let n = 0; n < quantity; n++) await page.getByTestId(`add-${sku}`).click();
}

async function newestProducts(count, minimumStock) {
  const rows = await stack.postgres(
    `SELECT sku, price FROM products WHERE stock >= ${minimumStock} ORDER BY id LIMIT ${count}`,
  );
  assert.equal(rows.length, count, "seeded products in stock");
  return rows.map(([sku, price]) => ({ sku, price }));
}

describe("shop and dashboard", { timeout: 6 * TEST_TIMEOUT_MS }, () => {
  it("shows a shop without orders as such", { timeout: TEST_TIMEOUT_MS }, async () => {
    const page = await openDashboard();
    await eventually(() => isLive(page));
    const [[orders]] = await stack.postgres("SELECT count(*) FROM orders");
    if (orders === "0") {
      // A table that is not there yet has no rows.
      await eventually(async () => assert.equal(await textOf(page, "orders-total"), "0"));
      assert.match(await page.innerText("main"), /The first one placed in the shop appears here/);
    }
    page.check();
    await page.context().close();
  });

  it("shows on the dashboard the very order placed by clicking", { timeout: TEST_TIMEOUT_MS }, async () => {
    const [first, second] = await newestProducts(2, 5);
    const shop = await openShop();
    await addToCart(shop, first.sku, 2);
    await addToCart(shop, second.sku, 1);
    await shop.getByTestId("cart-open").click();
    await shop.getByTestId("checkout").click();
    const order = (await eventually(() => textOf(shop, "order-id"))).replace(/\D/g, "");

    const [[total, units]] = await stack.postgres(
      `SELECT total, (SELECT sum(quantity) FROM order_items WHERE order_id = id) FROM orders WHERE id = ${order}`,
    );
    assert.equal(units, "3");
    assert.equal(Number(total).toFixed(2), (2 * Number(first.price) + Number(second.price)).toFixed(2));

    const dashboard = await openDashboard();
    await dashboard.getByTestId(`recent-order-${order}`).waitFor();
    assert.equal(plain(await textOf(dashboard, `recent-order-${order}-total`)), total);
    assert.equal(await textOf(dashboard, "dlq-count"), "0");
    await eventually(() => totalsAgree(dashboard));
    await eventually(async () => {
      for (const { sku } of [first, second]) await dashboard.getByTestId(`top-sku-${sku}`).waitFor({ timeout: 1000 });
    });
    shop.check();
    dashboard.check();
    await shop.context().close();
    await dashboard.context().close();
  });

  it("shows an order arriving while one looks, without a reload", { timeout: TEST_TIMEOUT_MS }, async () => {
    const [product] = await newestProducts(1, 5);
    const dashboard = await openDashboard();
    await eventually(() => isLive(dashboard));
    const { order_id: order } = await stack.placeOrder([{ sku: product.sku, quantity: 1 }]);
    await dashboard.getByTestId(`recent-order-${order}`).waitFor();
    await eventually(() => totalsAgree(dashboard));
    await eventually(async () => assert.match(await textOf(dashboard, "latency-p50"), /^[\d.]+ m?s$/));
    dashboard.check();
    await dashboard.context().close();
  });

  it("shows equal row counts of source and warehouse", { timeout: TEST_TIMEOUT_MS }, async () => {
    const dashboard = await openDashboard();
    for (const table of ["orders", "order_items", "products"]) {
      const [[expected]] = await stack.postgres(`SELECT count(*) FROM ${table}`);
      const row = dashboard.getByTestId(`table-row-public.${table}`);
      await eventually(async () => {
        assert.equal(plain(await row.getByTestId("source-rows").innerText({ timeout: 2000 })), expected, table);
        assert.equal(plain(await row.getByTestId("warehouse-rows").innerText({ timeout: 2000 })), expected, table);
        assert.equal(await row.getByTestId("difference").innerText({ timeout: 2000 }), "equal", table);
      }, 45_000);
    }
    dashboard.check();
    await dashboard.context().close();
  });

  it("refuses what is out of stock, in words, and keeps no trace of it", { timeout: TEST_TIMEOUT_MS }, async () => {
    const [product] = await newestProducts(1, 5);
    const shop = await openShop();
    await addToCart(shop, product.sku, 2);
    const [[before]] = await stack.postgres("SELECT count(*) FROM orders");
    // Somebody else buys the rest while this customer hesitates.
    const [[stock]] = await stack.postgres(`UPDATE products p SET stock = 1 FROM products old WHERE p.id = old.id
      AND p.sku = '${product.sku}' RETURNING old.stock`);
    await shop.getByTestId("cart-open").click();
    await shop.getByTestId("checkout").click();
    const message = await eventually(() => textOf(shop, "checkout-error"));
    assert.match(message, /stock|left|available/i);
    assert.deepEqual(await stack.postgres("SELECT count(*) FROM orders"), [[before]]);
    assert.deepEqual(await stack.postgres(`SELECT stock FROM products WHERE sku = '${product.sku}'`), [["1"]]);
    await stack.postgres(`UPDATE products SET stock = ${stock} WHERE sku = '${product.sku}'`);
    shop.check();
    await shop.context().close();
  });

  it("says that it is stale when the agent is killed, and heals by itself", { timeout: TEST_TIMEOUT_MS }, async () => {
    const [product] = await newestProducts(1, 5);
    const dashboard = await openDashboard();
    await eventually(() => isLive(dashboard));
    const shown = await textOf(dashboard, "orders-total");
    await stack.kill("agent");
    await dashboard.getByTestId("stale-banner").waitFor();
    assert.match(await textOf(dashboard, "stale-banner"), /Stale since \d\d:\d\d:\d\d/);
    assert.equal(await textOf(dashboard, "orders-total"), shown, "the last figures stay");
    const { order_id: order } = await stack.placeOrder([{ sku: product.sku, quantity: 2 }]);
    await stack.start("agent");
    await dashboard.getByTestId(`recent-order-${order}`).waitFor({ timeout: 45_000 });
    await eventually(() => isLive(dashboard));
    assert.equal(await dashboard.getByTestId("stale-banner").count(), 0);
    await eventually(() => totalsAgree(dashboard));
    dashboard.check();
    await dashboard.context().close();
  });
});
