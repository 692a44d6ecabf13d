import { describe, expect, it } from "vitest";
import { formatBytes, formatRate } from "./format";
import {
  formatAge, formatCount, formatDifference, formatMilliseconds, formatMinute, formatMoney, formatTime, humanize,
} from "./format";

describe("formatMoney", () => {
  it("groups the digits and keeps two decimals", () => {
    expect(formatMoney("0.00")).toBe("$0.00");
    expect(formatMoney("5")).toBe("$5.00");
    expect(formatMoney("12.5")).toBe("$12.50");
    expect(formatMoney("1234.50")).toBe("$1,234.50");
    expect(formatMoney("-1234567.89")).toBe("-$1,234,567.89");
  });
  it("is exact where a binary floating point number is not", () => {
    expect(formatMoney("9007199254740993.01")).toBe("$9,007,199,254,740,993.01");
  });
  it("shows what is not known as such", () => {
    expect(formatMoney(null)).toBe("–");
  });
});

describe("formatCount and formatDifference", () => {
  it("groups digits", () => expect(formatCount(1203344)).toBe("1,203,344"));
  it("shows what is not known as such", () => expect(formatCount(null)).toBe("–"));
  it("names the side that lacks rows", () => {
    expect(formatDifference(7, 7, 0)).toBe("equal");
    expect(formatDifference(2000, 7, 0)).toBe("1,993 missing");
    expect(formatDifference(7, 9, 1)).toBe("2 too many");
  });
  it("tells what newer changes explain from what is wrong", () => {
    expect(formatDifference(7, 9, 2)).toBe("2 more since");
    expect(formatDifference(9, 7, 3)).toBe("2 fewer since");
  });
});

describe("formatMilliseconds", () => {
  it.each([
    [null, "–"], [0, "0.0 ms"], [3.14, "3.1 ms"], [31.4, "31 ms"], [999.4, "999 ms"], [1131.4, "1.13 s"], [59_940, "59.9 s"],
    [61_000, "1 min 1 s"],
  ])("%s is %s", (value, expected) => expect(formatMilliseconds(value)).toBe(expected));
});

describe("formatAge", () => {
  it.each([
    [null, "–"], [-5, "0 s"], [999, "0 s"], [59_999, "59 s"], [60_000, "1 min"], [61_500, "1 min 1 s"], [3_600_000, "1 h"],
    [90_000_000, "1 d 1 h"],
  ])("%s ms is %s", (value, expected) => expect(formatAge(value)).toBe(expected));
});

describe("times", () => {
  it("are of the zone asked for", () => {
    const ms = Date.UTC(2026, 0, 2, 3, 4, 5);
    expect(formatTime(ms, "UTC")).toBe("03:04:05");
    expect(formatTime(ms, "Asia/Tokyo")).toBe("12:04:05");
    expect(formatMinute(ms, "UTC")).toBe("03:04");
  });
});

it("humanize makes words of the wire's names", () => expect(humanize("unknown_schema-id")).toBe("unknown schema id"));

describe("formatBytes and formatRate", () => {
  it("name their units", () => {
    expect([null, 0, 1023, 1024, 20_000, 5 * 1024 ** 3].map(formatBytes)).toEqual(["–", "0 B", "1,023 B", "1.0 KiB", "20 KiB", "5.0 GiB"]);
    expect([null, 0, 0.26, 12.4, 1234].map((n) => formatRate(n, "row"))).toEqual(["–", "0 row/s", "0.3 row/s", "12 row/s", "1,234 row/s"]);
  });
});
