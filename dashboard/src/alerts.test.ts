import { describe, expect, it } from "vitest";
import { alerts, RETAINED_WAL_BYTES } from "./alerts";
import { advance, openFeed, STALE_AFTER_MS, type Feed } from "./feed";
import { aloneAnswer, GENERATED_AT_MS, sampleAnswer } from "./sample";

const T0 = GENERATED_AT_MS;
const take = (body: unknown): Feed => advance(openFeed(T0), { kind: "answer", body, now_ms: T0 });
const ids = (feed: Feed, now_ms = T0): string[] => alerts(feed, now_ms).map((alert) => alert.id);

function quiet(change: (answer: any) => void = () => {}): unknown {
  const answer: any = sampleAnswer();
  answer.dlq = { count: 0, by_reason: {}, replayed: 0, discarded: 0 };
  change(answer);
  return answer;
}

describe("alerts", () => {
  it("says nothing where nothing is wrong, or nothing known", () => {
    expect(ids(take(quiet()))).toEqual([]);
    expect(ids(openFeed(T0))).toEqual([]);
  });

  it.each<[string, (answer: any) => void, string]>([
    ["Kafka is away", (a) => { a.agent.state = "waiting_for_kafka"; }, "kafka"],
    ["the warehouse takes no rows", (a) => { a.agent.state = "waiting_for_clickhouse"; }, "warehouse"],
    ["the publisher is silent", (a) => { a.line.source.sent_at_ms = T0 - 21_000; }, "source"],
    ["much WAL is kept", (a) => { a.line.source.retained_wal_bytes = RETAINED_WAL_BYTES + 1; }, "wal"],
    ["messages wait for long", (a) => { a.line.kafka.waiting_since_ms = T0 - 31_000; }, "lag"],
    ["the publisher is far behind", (a) => { a.line.source.lag_bytes = 100 * 1024 * 1024; }, "source-lag"],
    ["there are dead letters", (a) => { a.dlq.count = 1; }, "dlq"],
    ["a snapshot failed", (a) => { a.line.snapshots[0].state = "failed"; }, "snapshot-7"],
  ])("says that %s, with a way out", (_what, change, id) => {
    const found = alerts(take(quiet(change)), T0);
    expect(found.map((alert) => alert.id)).toEqual([id]);
    expect(found[0]?.way_out).not.toBe("");
  });

  it("names each stopped table with the agent's own words", () => {
    const [alert] = alerts(take(quiet((a) => {
      a.agent.table_states = [
        { table: "orders", state: "stopped", code: "refused", reason: "no such column", way_out: "mend it", since_ms: T0 },
        { table: "items", state: "filling", code: "gap", reason: "a gap", way_out: "wait", since_ms: T0 },
      ];
    })), T0);
    expect(alert).toMatchObject({ id: "table-orders-refused", tone: "bad", way_out: "mend it" });
  });

  it("grows old with its words: a source not heard of becomes silent without an answer", () => {
    const feed = take(quiet((a) => { a.line.source.sent_at_ms = T0 - 18_000; }));
    expect(ids(feed, T0)).toEqual([]);
    expect(ids(feed, T0 + 3_000)).toEqual(["source"]);
  });

  it("leaves the words of an agent that is away to the banner of staleness", () => {
    expect(ids(take(sampleAnswer()), T0 + STALE_AFTER_MS + 1)).toEqual([]);
  });

  it("takes the agent's word while the warehouse is away", () => {
    const feed = advance(take(quiet()), { kind: "answer", body: aloneAnswer(), now_ms: T0 + 1000 });
    expect(ids(feed, T0 + STALE_AFTER_MS + 1)).toEqual(["warehouse"]);
  });
});
