import { describe as group, expect, it } from "vitest";
import type { OrdersMinute } from "./contract";
import { bucketsOf, describe, rangeFor, sumMoney } from "./trade";

const T0 = 1_800_000_000_000;
const rows = (count: number, step_ms: number): OrdersMinute[] =>
  Array.from({ length: count }, (_, i) => ({ minute_ms: T0 + i * step_ms, orders: i, revenue: "1.00" }));
const known = {
  orders_per_minute: { rows: rows(60, 60_000), received_at_ms: 0 },
  orders_per_quarter: { rows: rows(100, 900_000), received_at_ms: 0 },
};

group("bucketsOf", () => {
  it("takes the hour as it is, and of it the last quarter", () => {
    expect(bucketsOf(known, "hour", T0)).toHaveLength(60);
    expect(bucketsOf(known, "quarter", T0)?.map((row) => row.orders)).toEqual(Array.from({ length: 15 }, (_, i) => 45 + i));
  });

  it("begins today at the reader's midnight", () => {
    expect(bucketsOf(known, "today", T0 + 90 * 900_000)?.[0]?.orders).toBe(90);
  });

  it("knows nothing before the first answer", () => {
    expect(bucketsOf({}, "today", T0)).toBeUndefined();
  });
});

group("rangeFor", () => {
  const quiet = rows(45, 60_000).map((row) => ({ ...row, orders: 0 }));
  const feed = (list: OrdersMinute[]) => ({ orders_per_minute: { rows: list, received_at_ms: 0 } });

  it("is the quarter while the shop is younger, and the hour then", () => {
    expect(rangeFor(feed([...quiet, ...rows(15, 60_000)]))).toBe("quarter");
    expect(rangeFor(feed([...quiet, ...rows(17, 60_000)]))).toBe("hour");
    expect(rangeFor({})).toBe("hour");
  });
});

group("describe", () => {
  it("says the sum and the peak, in the words of its period", () => {
    expect(describe([], "today")).toBe("No orders today.");
    expect(describe(rows(3, 60_000), "quarter")).toMatch(/^3 orders in the last 15 minutes; the busiest minute was \d\d:\d\d with 2\.$/);
  });
});

group("sumMoney", () => {
  it("is exact where binary fractions are not", () => {
    expect(sumMoney(["0.10", "0.20", "9007199254740993.01"])).toBe("9007199254740993.31");
    expect(sumMoney([])).toBe("0.00");
    expect(sumMoney(["-0.05"])).toBe("-0.05");
    expect(sumMoney(["3", "0.5"])).toBe("3.50");
  });
});
