import { describe as group, expect, it } from "vitest";
import { describe, FAST_MS, formatMicros, GIVE_UP_MS, isThere, nextAsk, summarize, type Journey, type Station } from "./journey";

const passed = (us: number | null): Station => ({ state: "passed", us });
const station = (state: Station["state"]): Station => ({ state, us: null });
const journey = (kafka: Station, warehouse: Station): Journey => ({ postgres: passed(3_200), kafka, warehouse });

group("an order on its way", () => {
  it.each([
    [0, "0.0 ms"], [860, "0.9 ms"], [9_949, "9.9 ms"], [9_950, "10 ms"], [41_300, "41 ms"], [999_400, "999 ms"],
    [999_500, "1.0 s"], [2_340_000, "2.3 s"], [120_000_000, "2 min"], [7_500_000_000, "2.1 h"],
  ])("%i us is %s", (us, text) => {
    expect(formatMicros(us)).toBe(text);
  });
  it("is asked for often, then less, then not by itself", () => {
    expect(nextAsk(0)).toBeLessThan(200);
    expect(nextAsk(FAST_MS)).toBe(1000);
    expect(nextAsk(GIVE_UP_MS)).toBeUndefined();
  });
  it("says what each station knows", () => {
    const there = journey(passed(12_000), passed(41_000));
    expect(["postgres", "kafka", "warehouse"].map((name) => describe(name as keyof Journey, there))).toEqual(["3.2 ms", "within 12 ms", "41 ms"]);
    expect(describe("kafka", journey(passed(null), passed(41_000)))).toBe("yes");
    expect(describe("warehouse", journey(passed(1), station("waiting")))).toBe("not yet");
    expect(describe("warehouse", journey(passed(1), station("away")))).toMatch(/does not answer/);
    expect(describe("kafka", journey(station("away"), station("waiting")))).toMatch(/pipeline/);
    expect(describe("kafka", undefined)).toBe("…");
  });
  it("is there when every station has it", () => {
    expect(isThere(undefined)).toBe(false);
    expect(isThere(journey(passed(1), station("waiting")))).toBe(false);
    expect(isThere(journey(passed(1), passed(null)))).toBe(true);
  });
  it("is told in one true sentence", () => {
    const waiting = journey(station("waiting"), station("waiting"));
    expect(summarize(undefined, false, false)).toMatch(/Asking/);
    expect(summarize(waiting, false, false)).toMatch(/on its way/);
    expect(summarize(waiting, false, true)).toMatch(/Kafka has not confirmed it/);
    expect(summarize(journey(passed(1), station("waiting")), false, true)).toMatch(/has not been loaded/);
    expect(summarize(journey(passed(1), station("away")), false, true)).toMatch(/warehouse does not answer/);
    expect(summarize(journey(station("waiting"), station("away")), false, false)).toMatch(/warehouse does not answer/);
    expect(summarize(journey(station("away"), station("away")), false, false)).toMatch(/pipeline is away/);
    expect(summarize(journey(station("unknown"), station("unknown")), false, false)).toMatch(/not told/);
    expect(summarize(journey(passed(12_000), passed(41_000)), false, false)).toMatch(/41 ms/);
    expect(summarize(journey(passed(12_000), station("waiting")), true, false)).toMatch(/shop does not answer/);
  });
});
