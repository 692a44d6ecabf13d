import { describe, expect, it } from "vitest";
import { advance, openFeed, rate, STALE_AFTER_MS, walRate, type Feed } from "./feed";
import { aloneAnswer, GENERATED_AT_MS, sampleAnswer } from "./sample";
import { stations } from "./stations";

const T0 = GENERATED_AT_MS;
const take = (feed: Feed, body: unknown, now_ms = T0): Feed => advance(feed, { kind: "answer", body, now_ms });
const tones = (feed: Feed, now_ms = T0) => Object.fromEntries(stations(feed, now_ms).map((s) => [s.id, s.tone]));

// The sample one second later, with what has happened since.
function later(change: (answer: any) => void): unknown {
  const answer: any = sampleAnswer();
  answer.generated_at_ms += 1000;
  answer.line.agent.at_ms += 1000;
  change(answer);
  return answer;
}

describe("stations", () => {
  it("are well when everything is", () => {
    expect(tones(take(openFeed(T0), sampleAnswer()))).toEqual({
      postgres: "good", publisher: "good", kafka: "good", agent: "good", warehouse: "good",
    });
  });

  it("are not known before the first answer, and again when the agent is away", () => {
    const unknown = { postgres: "unknown", publisher: "unknown", kafka: "unknown", agent: "unknown", warehouse: "unknown" };
    expect(tones(openFeed(T0))).toEqual(unknown);
    expect(tones(take(openFeed(T0), sampleAnswer()), T0 + STALE_AFTER_MS + 1)).toEqual(unknown);
  });

  it("show a warehouse that is away as the only one that stopped", () => {
    const feed = take(take(openFeed(T0), sampleAnswer()), aloneAnswer());
    expect(tones(feed, T0 + 1000)).toMatchObject({ postgres: "good", kafka: "good", agent: "warn", warehouse: "bad" });
  });

  it("show a silent source as stopped up to Kafka", () => {
    const feed = take(openFeed(T0), later((a) => { a.line.source.sent_at_ms -= 60_000; }));
    expect(tones(feed)).toMatchObject({ postgres: "bad", publisher: "bad", kafka: "good", warehouse: "good" });
  });
});

describe("rates", () => {
  const first = take(openFeed(T0), sampleAnswer());

  it("need two answers", () => {
    expect(rate(first, "rows")).toBeNull();
    expect(walRate(first)).toBeNull();
    const feed = take(first, later((a) => {
      a.line.agent.rows += 250;
      a.line.source.server_lsn = "0/3A820F28";
      a.line.source.sent_at_ms += 5000;
    }));
    expect(rate(feed, "rows")).toBe(250);
    expect(walRate(feed)).toBeCloseTo((0x3a820f28 - 0x3a81f2c8) / 5);
  });

  it("begin anew with a new agent", () => {
    const feed = take(first, later((a) => {
      a.line.agent.started_at_ms += 500;
      a.line.agent.rows = 0;
    }));
    expect(rate(feed, "rows")).toBeNull();
  });
});
