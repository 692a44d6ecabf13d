// Orders over time as the chooser asks for them: which buckets, in what words.
import type { OrdersMinute } from "./contract";
import type { KnownQueries } from "./feed";
import { formatCount, formatMinute } from "./format";

export const RANGES = ["today", "hour", "quarter"] as const;
export type Range = (typeof RANGES)[number];

export const rangeNames: Record<Range, string> = { today: "Today", hour: "Last hour", quarter: "15 min" };
const inWords: Record<Range, string> = { today: "today", hour: "in the last hour", quarter: "in the last 15 minutes" };

export const bucketMs: Record<Range, number> = { today: 900_000, hour: 60_000, quarter: 60_000 };

const QUARTER_MINUTES = 15;

export function queryOf(range: Range): "orders_per_quarter" | "orders_per_minute" {
  return range === "today" ? "orders_per_quarter" : "orders_per_minute";
}

// For whoever has not chosen: of a shop that has just opened the quarter, as most of its hour would be empty.
export function rangeFor(queries: KnownQueries): Range {
  const rows = queries.orders_per_minute?.rows;
  const before = rows?.slice(0, -QUARTER_MINUTES);
  return before === undefined || before.some((row) => row.orders > 0) ? "hour" : "quarter";
}

// Undefined: not known yet. midnight_ms is the reader's own.
export function bucketsOf(queries: KnownQueries, range: Range, midnight_ms: number): OrdersMinute[] | undefined {
  const rows = queries[queryOf(range)]?.rows;
  if (rows === undefined || range === "hour") return rows;
  return range === "today" ? rows.filter((row) => row.minute_ms >= midnight_ms) : rows.slice(-QUARTER_MINUTES);
}

export function midnightBefore(now_ms: number): number {
  return new Date(now_ms).setHours(0, 0, 0, 0);
}

export function describe(buckets: OrdersMinute[], range: Range): string {
  const orders = buckets.reduce((sum, bucket) => sum + bucket.orders, 0);
  const busiest = buckets.reduce<OrdersMinute | null>((best, b) => (best === null || b.orders > best.orders ? b : best), null);
  if (orders === 0 || busiest === null) return `No orders ${inWords[range]}.`;
  const what = range === "today" ? "quarter of an hour began at" : "minute was";
  return `${formatCount(orders)} orders ${inWords[range]}; the busiest ${what} ${formatMinute(busiest.minute_ms)} with ${formatCount(busiest.orders)}.`;
}

// Exact, in cents: money is no binary fraction.
export function sumMoney(amounts: string[]): string {
  const cents = amounts.reduce((sum, amount) => sum + toCents(amount), 0n);
  const digits = (cents < 0n ? -cents : cents).toString().padStart(3, "0");
  return `${cents < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

function toCents(amount: string): bigint {
  const [whole = "0", fraction = ""] = amount.split(".");
  return BigInt(whole + fraction.padEnd(2, "0").slice(0, 2));
}
