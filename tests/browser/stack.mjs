// The real parts, by way of tests/stack/stack, and the two databases asked directly.
import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
export const tree = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const program = join(tree, "tests/stack/stack");

const UP_TIMEOUT_MS = 180_000;
const COMMAND_TIMEOUT_MS = 90_000;
const QUERY_TIMEOUT_MS = 20_000;
const OUTPUT_BYTES_MAX = 16 << 20;

export class Stack {
  #directory;
  #borrowed;

  // WALHOUSE_STACK names a stack that already runs and is left running: for working on these tests.
  static async up() {
    const stack = new Stack();
    stack.#borrowed = process.env.WALHOUSE_STACK;
    stack.#directory = stack.#borrowed ?? (await mkdtemp(join(tmpdir(), "walhouse-browser-")));
    try {
      if (stack.#borrowed === undefined) {
        await chmod(stack.#directory, 0o755); // Postgres runs as a user of its own
        await stack.#call(UP_TIMEOUT_MS, "up", "--storefront");
      }
      stack.env = await stack.#readEnvironment();
    } catch (error) {
      await stack.down().catch(() => {});
      throw error;
    }
    return stack;
  }

  async down() {
    if (this.#borrowed !== undefined) return;
    await this.#call(COMMAND_TIMEOUT_MS, "down");
    if (process.env.WALHOUSE_KEEP_STACK) console.error(`state and logs: ${this.#directory}`);
    else await rm(this.#directory, { recursive: true, force: true });
  }

  kill(part) {
    return this.#call(COMMAND_TIMEOUT_MS, "kill", part);
  }

  start(part) {
    return this.#call(COMMAND_TIMEOUT_MS, "start", part);
  }

  wait(seconds) {
    return this.#call(seconds * 1000 + COMMAND_TIMEOUT_MS, "wait", String(seconds));
  }

  async #call(timeout, verb, ...rest) {
    try {
      return await run(program, [verb, this.#directory, ...rest], { timeout, maxBuffer: OUTPUT_BYTES_MAX });
    } catch (error) {
      throw new Error(`stack ${verb} ${rest.join(" ")} failed (${error.code ?? error.signal}):\n${error.stdout}\n${error.stderr}`);
    }
  }

  // `stack env` prints lines for a shell, so a shell reads them.
  async #readEnvironment() {
    const { stdout } = await run("bash", ["-c", 'set -a; eval "$("$0" env "$1")"; env -0', program, this.#directory], {
      timeout: COMMAND_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX,
    });
    return Object.fromEntries(stdout.split("\0").filter(Boolean).map((line) => line.split(/=([\s\S]*)/, 2)));
  }

  // One statement in Postgres; rows as lists of text.
  async postgres(sql) {
    const { stdout } = await run("psql", ["-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", sql], {
      env: this.env, timeout: QUERY_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX,
    });
    return stdout.split("\n").filter(Boolean).map((line) => line.split("\t"));
  }

  // One query in the warehouse; rows as lists of text.
  async warehouse(sql) {
    const url = new URL(this.env.CLICKHOUSE_URL);
    url.searchParams.set("database", this.env.CLICKHOUSE_DATABASE);
    url.searchParams.set("default_format", "TSV");
    const answer = await fetch(url, { method: "POST", body: sql, signal: AbortSignal.timeout(QUERY_TIMEOUT_MS) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${sql}: ${answer.status} ${text}`);
    return text.split("\n").filter(Boolean).map((line) => line.split("\t"));
  }

  // An order by way of the shop's API, as its page would send it.
  placeOrder(items, customer = { id: "7b1c6c1e-0d2f-4a52-9d56-8a4f0a3f7f01", name: "Grace Hopper" }) {
    return this.#askShop("/api/orders", { customer, items }, 201);
  }

  busyDay(wanted) {
    return this.#askShop("/api/busy-day", wanted, 200);
  }

  async #askShop(path, request, status) {
    const answer = await fetch(new URL(path, this.env.STOREFRONT_URL), {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request),
      signal: AbortSignal.timeout(QUERY_TIMEOUT_MS),
    });
    const body = await answer.json();
    if (answer.status !== status) throw new Error(`${path} refused: ${answer.status} ${JSON.stringify(body)}`);
    return body;
  }
}
