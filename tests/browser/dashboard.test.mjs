// The dashboard against the real stack: its figures are SQL's, each failure shows as what it is and heals by itself, and
// everybody can use it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertAccessible } from "./axe.mjs";
import { eventually, plain, textOf } from "./browser.mjs";
import { addHistory } from "./history.mjs";
import { isLive, stack, withPage } from "./line.mjs";
import { tree } from "./stack.mjs";

const TEST_TIMEOUT_MS = 150_000;
const HEAL_MS = 60_000;
const TRADE_MS = 420_000; // before the pictures are taken: long enough for what is shown over time, and of the last minutes
const STATIONS = ["postgres", "publisher", "kafka", "agent", "warehouse"];

function dashboard(test, options) {
  return withPage(stack.env.AGENT_URL, options, async (page) => {
    await eventually(() => isLive(page));
    await test(page);
  });
}

const toneOf = (page, station) => page.getByTestId(`station-${station}`).getAttribute("data-tone");

async function isWell(page) {
  await isLive(page);
  for (const station of STATIONS) assert.equal(await toneOf(page, station), "good", station);
  assert.equal(await textOf(page, "agent-state"), "running");
}

async function products(count) {
  return stack.postgres(`SELECT sku FROM products WHERE stock >= 20 ORDER BY id DESC LIMIT ${count}`);
}

async function buy(times = 1) {
  const [[sku]] = await products(1);
  let order;
  for (let n = 0; n < times; n++) ({ order_id: order } = await stack.placeOrder([{ sku, quantity: 1 }]));
  return order;
}

// The page shows what SQL says. The question is put before and after, as orders may fall out of the period meanwhile.
async function shows(page, testids, sql) {
  await eventually(async () => {
    const [expected] = await stack.warehouse(sql);
    const shown = [];
    for (const testid of testids) shown.push(plain(await textOf(page, testid)));
    assert.deepEqual(shown, expected);
  });
}

const sums = (since) => `SELECT count(), toDecimalString(sum(total), 2) FROM orders WHERE placed_at >= ${since}`;
const thisMinute = "toStartOfMinute(now('UTC'))";

describe("dashboard", { timeout: 8 * TEST_TIMEOUT_MS }, () => {
  it("is usable by everybody in light, dark and on a phone, with and without orders", { timeout: TEST_TIMEOUT_MS }, async () => {
    await dashboard(async (page) => {
      await eventually(() => isWell(page));
      await assertAccessible(page, "light");
    });
    await buy(3);
    for (const options of [{ colorScheme: "dark" }, { viewport: { width: 390, height: 844 } }]) {
      await dashboard(async (page) => {
        await page.getByTestId("latency-histogram").waitFor();
        await assertAccessible(page, JSON.stringify(options));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.equal(wide, 0, "nothing sticks out");
      }, options);
    }
  });

  it("shows figures that are SQL's, for each period, chosen with the keyboard", { timeout: TEST_TIMEOUT_MS }, async () => {
    await buy(2);
    await dashboard(async (page) => {
      await shows(page, ["orders-total", "revenue-total"], sums("0"));
      const range = ["range-orders", "range-revenue"];
      assert.ok(await page.getByTestId("range-quarter").isChecked(), "the shop is not open for longer");
      await page.getByTestId("range-hour").focus();
      await page.keyboard.press("Space");
      await shows(page, range, sums(`${thisMinute} - INTERVAL 59 MINUTE`));
      await page.keyboard.press("ArrowRight");
      assert.ok(await page.getByTestId("range-quarter").isChecked());
      await shows(page, range, sums(`${thisMinute} - INTERVAL 14 MINUTE`));
      await page.keyboard.press("ArrowRight"); // and round
      assert.ok(await page.getByTestId("range-today").isChecked());
      // The reader's today, not the server's.
      await shows(page, range, sums("toStartOfDay(now('Asia/Kathmandu'))"));
      const [[sku, revenue]] = await stack.warehouse(`SELECT sku, toDecimalString(sum(quantity * unit_price), 2) AS revenue
        FROM order_items GROUP BY sku ORDER BY sum(quantity * unit_price) DESC, sku LIMIT 1`);
      const best = await page.getByTestId(`top-sku-${sku}`).locator("td").last().innerText();
      assert.equal(plain(best), revenue);
    }, { timezoneId: "Asia/Kathmandu" });
  });

  it("shows an order in place, live, and nothing moves for it", { timeout: TEST_TIMEOUT_MS }, async () => {
    await dashboard(async (page) => {
      const asked = [];
      page.on("request", (request) => asked.push(new URL(request.url()).pathname));
      await page.evaluate(() => {
        globalThis.shift = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) globalThis.shift += entry.value;
        }).observe({ type: "layout-shift", buffered: true });
      });
      const order = await buy();
      await page.getByTestId(`recent-order-${order}`).waitFor();
      assert.ok((await page.evaluate(() => globalThis.shift)) < 0.1, "cumulative layout shift since the page was opened");
      assert.deepEqual(asked, [], "it came by the stream that is open");
    });
  });

  it("looks as the README shows it", { timeout: TEST_TIMEOUT_MS + TRADE_MS, skip: !process.env.UPDATE_SCREENSHOTS }, async () => {
    await addHistory(stack);
    await stack.busyDay({ running: true, rate: 1 });
    await sleep(TRADE_MS);
    const images = join(tree, "docs/images");
    await mkdir(images, { recursive: true });
    const looks = {
      dashboard: { colorScheme: "light", viewport: { width: 1440, height: 1100 } },
      "dashboard-dark": { colorScheme: "dark", viewport: { width: 1440, height: 1100 } },
      "dashboard-phone": { colorScheme: "light", viewport: { width: 390, height: 844 } },
    };
    for (const [name, options] of Object.entries(looks)) {
      await dashboard(async (page) => {
        await eventually(() => isWell(page));
        await eventually(async () => assert.match(await textOf(page, "station-agent"), /[1-9]\S* row\/s/)); // it takes two answers
        const orders = page.getByTestId("table-row-public.orders");
        await eventually(async () => assert.equal(await orders.getByTestId("difference").innerText(), "equal"), HEAL_MS);
        await page.screenshot({ path: join(images, `${name}.png`), fullPage: name !== "dashboard-phone" });
      }, options);
    }
    await stack.busyDay({ running: false });
  });

  it("lists a change of a schema, a snapshot, and a dead letter with its reason", { timeout: TEST_TIMEOUT_MS }, async () => {
    await stack.postgres("ALTER TABLE products ADD COLUMN shelf text");
    await stack.postgres("UPDATE products SET shelf = 'A' WHERE id = (SELECT min(id) FROM products)");
    await stack.postgres(`SELECT walhouse.snapshot('${stack.env.PIPELINE}', 'public.products')`);
    await produce("shop.public.products", "this is no event");
    await dashboard(async (page) => {
      await eventually(async () => assert.match(await textOf(page, "snapshots"), /public\.products.*done, 100 %/s));
      await eventually(async () => assert.match(await textOf(page, "schema-changes"), /products added shelf/));
      await eventually(async () => assert.equal(await textOf(page, "dlq-count"), "1"));
      assert.match(await textOf(page, "alert-dlq"), /1 message is in the dead letters/);
      const [[partition, offset, error]] = await stack.warehouse(
        "SELECT dlq_partition, dlq_offset, error FROM _walhouse_dead_letters FINAL WHERE state = 'waiting'",
      );
      const letter = await textOf(page, `letter-${partition}-${offset}`);
      assert.ok(letter.includes(error), `${letter} has ${error}`);
      await assertAccessible(page, "with an alert");
    });
  });

  it("replays letters for who has the token and confirms, and for nobody else", { timeout: TEST_TIMEOUT_MS }, async () => {
    await dashboard(async (page) => {
      await page.getByTestId("replay-undecodable").click();
      await assertAccessible(page, "the dialog");
      const confirm = page.getByTestId("replay-confirm");
      await page.getByTestId("replay-token").fill("somebody's guess, long enough");
      await confirm.click();
      await eventually(async () => assert.match(await textOf(page, "replay-refusal"), /token/));
      await page.keyboard.press("Escape");
      await page.getByTestId("replay-dialog").waitFor({ state: "detached" });

      await page.getByTestId("replay-undecodable").click();
      await page.getByTestId("replay-token").fill((await readFile(stack.env.REPLAY_TOKEN_FILE, "utf8")).trim());
      await confirm.click();
      await eventually(async () => assert.match(await textOf(page, "replay-news"), /replayed 1 letters/), HEAL_MS);
      // Garbage it still is: a new letter, beside one that was replayed.
      await eventually(async () => assert.equal(await textOf(page, "dlq-resolved"), "1 replayed, 0 discarded"));
      await eventually(async () => assert.equal(await textOf(page, "dlq-count"), "1"));
    });
  });

  it("says that the warehouse is away, keeps the figures, and heals", { timeout: TEST_TIMEOUT_MS }, async () => {
    await dashboard(async (page) => {
      const orders = await textOf(page, "orders-total");
      await stack.kill("warehouse");
      await page.getByTestId("alert-warehouse").waitFor();
      await page.getByTestId("stale-banner").waitFor();
      assert.match(await textOf(page, "stale-banner"), /Stale since \d\d:\d\d:\d\d.*The warehouse does not answer/s);
      assert.deepEqual([await toneOf(page, "kafka"), await toneOf(page, "warehouse")], ["good", "bad"]);
      assert.equal(await textOf(page, "agent-state"), "waiting for clickhouse");
      assert.equal(await textOf(page, "orders-total"), orders, "the last figures stay");
      await assertAccessible(page, "stale");
      const order = await buy();
      await stack.start("warehouse");
      await page.getByTestId(`recent-order-${order}`).waitFor({ timeout: HEAL_MS });
      await eventually(() => isWell(page), HEAL_MS);
      assert.equal(await page.getByTestId("alert-warehouse").count(), 0);
    });
  });

  it("says that Kafka is away, and heals", { timeout: TEST_TIMEOUT_MS }, async () => {
    await dashboard(async (page) => {
      await stack.kill("kafka");
      await page.getByTestId("alert-kafka").waitFor({ timeout: 30_000 });
      assert.equal(await toneOf(page, "kafka"), "bad");
      await isLive(page); // the warehouse answers, and its figures are of now
      const order = await buy();
      await stack.start("kafka");
      await page.getByTestId(`recent-order-${order}`).waitFor({ timeout: HEAL_MS });
      await eventually(() => isWell(page), HEAL_MS);
    });
  });

  it("says that the source is silent when Postgres is down, and heals", { timeout: TEST_TIMEOUT_MS }, async () => {
    await dashboard(async (page) => {
      await stack.kill("postgres");
      await page.getByTestId("alert-source").waitFor({ timeout: 45_000 });
      assert.deepEqual([await toneOf(page, "postgres"), await toneOf(page, "warehouse")], ["bad", "good"]);
      await stack.start("postgres");
      await eventually(() => isWell(page), HEAL_MS);
      assert.equal(await page.getByTestId("alert-source").count(), 0);
    });
  });
});

// One message that no publisher wrote.
function produce(topic, text) {
  return new Promise((resolve, reject) => {
    const child = execFile("kcat", ["-P", "-b", stack.env.KAFKA_BROKERS, "-t", topic, "-p", "0"], { timeout: 20_000 }, (error) =>
      error ? reject(error) : resolve(),
    );
    child.stdin.end(text);
  });
}
