import { describe, expect, it } from "vitest";
import type { LatencyMinute } from "../contract";
import { sumBuckets, wholePeriod } from "./LatencyPanel";

const T0 = 1_800_000_000_000;
const minute = (minute_ms: number, buckets: number[]): LatencyMinute => ({ minute_ms, rows: 1, p50: 1, p95: 2, p99: 3, buckets });

describe("wholePeriod", () => {
  it("has all minutes of the hour, whatever came", () => {
    const hour = wholePeriod([minute(T0 - 15 * 60_000, []), minute(T0, [])], T0 + 30_000);
    expect(hour).toHaveLength(60);
    expect(hour.at(-1)?.minute_ms).toBe(T0);
    expect(hour.filter(({ latency }) => latency !== undefined).map(({ minute_ms }) => minute_ms)).toEqual([T0 - 15 * 60_000, T0]);
  });

  it("is the last quarter while nothing is older", () => {
    const quarter = wholePeriod([minute(T0 - 14 * 60_000, [])], T0 + 30_000);
    expect(quarter).toHaveLength(15);
    expect(quarter[0]?.minute_ms).toBe(T0 - 14 * 60_000);
  });
});

describe("sumBuckets", () => {
  it("adds minutes up, and names bounds with their units", () => {
    const minutes = [minute(T0, [1, 2, 3]), minute(T0, [10, 20, 30])];
    expect(sumBuckets({ bounds_ms: [50, 1000], minutes, schema_changes: null }, minutes)).toEqual([
      { label: "up to 50 ms", short: "50 ms", rows: 11 },
      { label: "up to 1 s", short: "1 s", rows: 22 },
      { label: "more than 1 s", short: "more", rows: 33 },
    ]);
  });
});
