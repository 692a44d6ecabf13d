import { describe, expect, it } from "vitest";
import { describeDay, formatLeft } from "./BusyDay";

const day = { running: false, rate: 0, rate_max: 50, placed: 0, sold_out: 0, failed: 0, ends_in_s: 0 };

describe("a busy day", () => {
  it("is told by its figures", () => {
    expect(describeDay(day)).toMatch(/ten minutes/);
    expect(describeDay({ ...day, running: true, rate: 20, placed: 1, ends_in_s: 599 })).toBe(
      "20 orders a second from simulated shoppers: 1 order placed. They leave in 9:59.",
    );
    expect(describeDay({ ...day, rate: 20, placed: 1234, sold_out: 2, failed: 3 })).toBe(
      "It is quiet again: 1,234 orders placed, 2 found shelves empty, 3 were not served.",
    );
  });
  it("counts down", () => {
    expect([0, 9, 60, 600].map(formatLeft)).toEqual(["0:00", "0:09", "1:00", "10:00"]);
  });
});
