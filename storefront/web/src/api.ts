// What the storefront's backend answers, checked at the boundary: an answer of another shape is an error, never a crash.
import type { Cart } from "./cart";
import type { Journey, Station, StationState } from "./journey";

export type Product = {
  sku: string;
  name: string;
  description: string;
  category: string;
  price: string;
  stock: number;
};
export type OrderItem = { sku: string; name: string; quantity: number; unit_price: string };
export type Order = { order_id: number; total: string; placed_at: string; status: string; items: OrderItem[] };

export type BusyDay = {
  running: boolean;
  rate: number;
  rate_max: number;
  placed: number;
  sold_out: number;
  failed: number;
  ends_in_s: number;
};

/** Something a customer can read. */
export class ShopError extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly sku?: string,
  ) {
    super(message);
  }
}

const TIMEOUT_MS = 10_000;

type Fields = Record<string, unknown>;

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fail(what: string): never {
  throw new ShopError(`The shop gave an answer that this page does not understand (${what}).`, "malformed");
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  return typeof value === "string" ? value : fail(name);
}

function integer(fields: Fields, name: string): number {
  const value = fields[name];
  return typeof value === "number" && Number.isInteger(value) ? value : fail(name);
}

function list<T>(value: unknown, name: string, read: (fields: Fields) => T): T[] {
  if (!Array.isArray(value)) fail(name);
  return value.map((element: unknown) => (isObject(element) ? read(element) : fail(name)));
}

function readProduct(fields: Fields): Product {
  return {
    sku: text(fields, "sku"),
    name: text(fields, "name"),
    description: text(fields, "description"),
    category: text(fields, "category"),
    price: text(fields, "price"),
    stock: integer(fields, "stock"),
  };
}

function readItem(fields: Fields): OrderItem {
  return {
    sku: text(fields, "sku"),
    name: text(fields, "name"),
    quantity: integer(fields, "quantity"),
    unit_price: text(fields, "unit_price"),
  };
}

export function readOrder(fields: Fields): Order {
  return {
    order_id: integer(fields, "order_id"),
    total: text(fields, "total"),
    placed_at: text(fields, "placed_at"),
    status: text(fields, "status"),
    items: list(fields["items"], "items", readItem),
  };
}

function readError(body: unknown, status: number): ShopError {
  const error = isObject(body) ? body["error"] : undefined;
  if (!isObject(error) || typeof error["message"] !== "string")
    return new ShopError(`The shop answered with status ${status}. Please try again.`, "malformed");
  const sku = error["sku"];
  return typeof sku === "string"
    ? new ShopError(error["message"], String(error["code"]), sku)
    : new ShopError(error["message"], String(error["code"]));
}

async function request(path: string, init?: RequestInit): Promise<Fields> {
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(path, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    body = await response.json();
  } catch {
    throw new ShopError("The shop does not answer. Please try again in a moment.", "network");
  }
  if (!response.ok) throw readError(body, response.status);
  return isObject(body) ? body : fail("body");
}

export async function getProducts(): Promise<Product[]> {
  return list((await request("api/products"))["products"], "products", readProduct);
}

export async function getOrders(customer: string): Promise<Order[]> {
  const body = await request(`api/orders?customer=${encodeURIComponent(customer)}`);
  return list(body["orders"], "orders", readOrder);
}

export async function getOrder(id: number): Promise<Order> {
  return readOrder(await request(`api/orders/${id}`));
}

/** The dashboard's address; undefined: the shop was not told. */
export async function getDashboard(): Promise<string | undefined> {
  const { dashboard } = await request("api/links");
  return typeof dashboard === "string" && /^https?:\/\//.test(dashboard) ? dashboard : undefined;
}

const STATES: readonly string[] = ["passed", "waiting", "away", "unknown"] satisfies StationState[];

function readStation(value: unknown, name: string): Station {
  if (!isObject(value)) fail(name);
  const { state, us } = value;
  if (typeof state !== "string" || !STATES.includes(state) || (us !== null && typeof us !== "number")) fail(name);
  return { state: state as StationState, us };
}

export async function getJourney(order: number): Promise<Journey> {
  const body = await request(`api/orders/${order}/journey`);
  return {
    postgres: readStation(body["postgres"], "postgres"),
    kafka: readStation(body["kafka"], "kafka"),
    warehouse: readStation(body["warehouse"], "warehouse"),
  };
}

function readBusyDay(fields: Fields): BusyDay {
  return {
    running: fields["running"] === true,
    rate: integer(fields, "rate"),
    rate_max: integer(fields, "rate_max"),
    placed: integer(fields, "placed"),
    sold_out: integer(fields, "sold_out"),
    failed: integer(fields, "failed"),
    ends_in_s: integer(fields, "ends_in_s"),
  };
}

export async function getBusyDay(): Promise<BusyDay> {
  return readBusyDay(await request("api/busy-day"));
}

export async function setBusyDay(running: boolean): Promise<BusyDay> {
  return readBusyDay(
    await request("api/busy-day", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ running }),
    }),
  );
}

export function toMessage(error: unknown): string {
  return error instanceof ShopError ? error.message : "Something went wrong on this page. Please reload it.";
}

/** The same requestId sent again gives the order that is there already, so that a lost answer is no second order. */
export async function placeOrder(
  customer: { id: string; name: string },
  cart: Cart,
  requestId: string,
): Promise<Order> {
  const items = [...cart].map(([sku, quantity]) => ({ sku, quantity }));
  try {
    return readOrder(
      await request("api/orders", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ customer, items, request_id: requestId }),
      }),
    );
  } catch (error) {
    // Sent, and no answer that can be understood: nobody knows.
    if (error instanceof ShopError && (error.code === "network" || error.code === "malformed"))
      throw new ShopError(
        "No clear answer came: your order may have been placed or not. Look at your orders, or place it again: it counts once.",
        "unknown_outcome",
      );
    throw error;
  }
}
