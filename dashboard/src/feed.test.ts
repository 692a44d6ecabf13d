import { describe, expect, it } from "vitest";
import { advance, ageAt, health, isMissingTable, openFeed, STALE_AFTER_MS, type Feed } from "./feed";
import { emptyAnswer, GENERATED_AT_MS, MISSING_TABLE, sampleAnswer } from "./sample";

const T0 = 5_000_000;

function answer(feed: Feed, now_ms: number, generated_at_ms: number, change: (body: any) => void = () => {}): Feed {
  const body = { ...structuredClone(sampleAnswer()), generated_at_ms };
  change(body);
  return advance(feed, { kind: "answer", body, now_ms });
}

describe("health", () => {
  it("connects, and does not connect for ever", () => {
    const feed = openFeed(T0);
    expect(health(feed, T0 + STALE_AFTER_MS)).toEqual({ kind: "connecting" });
    expect(health(feed, T0 + STALE_AFTER_MS + 1)).toMatchObject({ kind: "stale", never: true, since_ms: T0 });
  });

  it("is live while new answers come, whatever the agent's clock says", () => {
    const feed = answer(openFeed(T0), T0 + 100, 12);
    expect(health(feed, T0 + 100 + STALE_AFTER_MS)).toEqual({ kind: "live" });
  });

  it("survives one failure, and is stale after many, with the last reason and the time of the last figures", () => {
    let feed = answer(openFeed(T0), T0 + 100, 12);
    feed = advance(feed, { kind: "failure", message: "The agent cannot be reached.", now_ms: T0 + 1100 });
    expect(health(feed, T0 + 1100).kind).toBe("live");
    expect(health(feed, T0 + 101 + STALE_AFTER_MS)).toEqual({
      kind: "stale", never: false, since_ms: T0 + 100, reason: "The agent cannot be reached.",
    });
    expect(feed.summary?.agent.rows_loaded).toBe(4711);
  });

  it("takes an answer that is repeated for ever as stale", () => {
    let feed = answer(openFeed(T0), T0, 12);
    for (let s = 1; s <= 10; s++) feed = answer(feed, T0 + s * 1000, 12);
    expect(health(feed, T0 + 10_000)).toMatchObject({ kind: "stale", since_ms: T0 });
  });

  it("heals with the next new answer", () => {
    let feed = answer(openFeed(T0), T0, 12);
    feed = advance(feed, { kind: "failure", message: "x", now_ms: T0 + 60_000 });
    expect(health(feed, T0 + 60_000).kind).toBe("stale");
    feed = answer(feed, T0 + 61_000, 13);
    expect(health(feed, T0 + 61_000)).toEqual({ kind: "live" });
    expect(feed.failure).toBeNull();
  });

  it("keeps the last good figures when an answer is malformed, and says what is wrong", () => {
    let feed = answer(openFeed(T0), T0, 12);
    feed = answer(feed, T0 + 1000, 13, (body) => { body.tables = 7; });
    expect(feed.summary?.generated_at_ms).toBe(12);
    expect(feed.failure).toContain("summary.tables: expected a list, got 7");
  });
});

describe("queries", () => {
  it("keeps the rows of a query that fails now, with their time", () => {
    let feed = answer(openFeed(T0), T0, 12);
    feed = answer(feed, T0 + 1000, 13, (body) => {
      delete body.queries.totals;
      body.queries_errors = { totals: "Code: 210. DB::NetException: Connection refused" };
    });
    expect(feed.queries.totals).toMatchObject({ received_at_ms: T0 });
    expect(feed.queries.top_skus).toMatchObject({ received_at_ms: T0 + 1000 });
  });

  it("forgets the rows of a table that is gone", () => {
    let feed = answer(openFeed(T0), T0, 12);
    feed = advance(feed, { kind: "answer", body: { ...emptyAnswer(), generated_at_ms: 13 }, now_ms: T0 + 1000 });
    expect(feed.summary?.queries_errors.get("totals")).toBe(MISSING_TABLE);
    expect(feed.queries).toEqual({});
  });
});

describe("ageAt", () => {
  it("adds the age by the agent's clock and the time since by the browser's", () => {
    const feed = answer(openFeed(T0), T0, GENERATED_AT_MS);
    expect(ageAt(feed, GENERATED_AT_MS - 2300, T0 + 700)).toBe(3000);
    expect(ageAt(feed, GENERATED_AT_MS + 50, T0)).toBe(0);
    expect(ageAt(feed, null, T0)).toBeNull();
    expect(ageAt(openFeed(T0), 1, T0)).toBeNull();
  });
});

describe("isMissingTable", () => {
  it("knows the code where a long message was cut before its name", () => {
    expect(isMissingTable("HTTP 404: Code: 60. DB::Exception: Unknown table expression identifier 'orders' in scope SELECT coun")).toBe(true);
    expect(isMissingTable("HTTP 500: Code: 601. DB::Exception: another thing")).toBe(false);
    expect(isMissingTable(undefined)).toBe(false);
  });
});
