// The page drawn at chosen moments, as text: what each state shows, and what it must not.
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import { Dashboard } from "./Dashboard";
import { advance, openFeed, STALE_AFTER_MS, type Feed } from "./feed";
import { aloneAnswer, emptyAnswer, sampleAnswer } from "./sample";

const T0 = 1_800_000_000_000;
const draw = (feed: Feed, now_ms: number): string => renderToStaticMarkup(<Dashboard feed={feed} now_ms={now_ms} />);
const take = (feed: Feed, body: unknown): Feed => advance(feed, { kind: "answer", body, now_ms: T0 });

function textOf(html: string, testid: string): string {
  const match = new RegExp(`data-testid="${testid}"[^>]*>(.*?)</`).exec(html);
  if (match === null) throw new Error(`no element ${testid}`);
  return match[1] ?? "";
}

describe("Dashboard", () => {
  it("shows the figures of an answer", () => {
    const html = draw(take(openFeed(T0), sampleAnswer()), T0);
    expect(textOf(html, "orders-total")).toBe("1,200");
    expect(textOf(html, "revenue-total")).toBe("$91,234.50");
    expect(textOf(html, "average-order-value")).toBe("$76.03");
    expect(textOf(html, "latency-p99")).toBe("131 ms");
    expect(textOf(html, "dlq-count")).toBe("7");
    expect(textOf(html, "dlq-resolved")).toBe("3 replayed, 1 discarded");
    expect(textOf(html, "agent-state")).toBe("running");
    expect(textOf(html, "difference")).toBe("equal");
    expect(html).toContain('data-testid="recent-order-1200"');
    expect(html).toContain('data-testid="table-row-audit.log"');
    expect(html).not.toContain("stale-banner");
    expect(html).not.toContain("need attention");
  });

  it("shows why a table is stopped, since when, and the way out", () => {
    const body: any = sampleAnswer();
    body.agent.table_states = [{
      table: "orders", state: "stopped", code: "type_change", reason: "text became <int>", way_out: "take a snapshot", since_ms: T0 - 90_000,
    }];
    const html = draw(take(openFeed(T0), body), T0);
    expect(html).toContain('data-testid="table-state-orders"');
    expect(html).toContain("text became &lt;int&gt;");
    expect(html).toContain("take a snapshot");
    expect(html).toContain("1 min 30 s");
  });

  it("shows what waits in the dead letters, the change of a schema, and how far a snapshot is", () => {
    const html = draw(take(openFeed(T0), sampleAnswer()), T0);
    expect(html).toContain('data-testid="letter-0-4"');
    expect(html).toContain("the event ends at byte 3");
    expect(html).toContain("added note");
    expect(html).toContain("running, 25 %");
    expect(textOf(html, "range-orders")).toBe("13");
    expect(textOf(html, "range-revenue")).toBe("$1,022.40");
  });

  it("says how the agent is while the warehouse is away", () => {
    const feed = advance(take(openFeed(T0), sampleAnswer()), { kind: "answer", body: aloneAnswer(), now_ms: T0 + 1000 });
    const html = draw(feed, T0 + STALE_AFTER_MS + 1);
    expect(textOf(html, "agent-state")).toBe("waiting for clickhouse");
    expect(html).toContain("The warehouse does not answer: http://127.0.0.1:8123: Connection refused");
    expect(html).toContain('data-testid="alert-warehouse"');
    expect(textOf(html, "orders-total")).toBe("1,200");
  });

  it("shows an empty shop as empty, not as broken", () => {
    const html = draw(take(openFeed(T0), emptyAnswer()), T0);
    expect(textOf(html, "orders-total")).toBe("0");
    expect(textOf(html, "revenue-total")).toBe("$0.00");
    expect(html).toContain("The first one placed in the shop appears here.");
    expect(html).toContain("No table has come through the pipeline yet.");
    expect(html).not.toContain("could not answer");
  });

  it("never waits for ever", () => {
    const feed = openFeed(T0);
    expect(draw(feed, T0)).toContain("Waiting for the first answer.");
    const failed = advance(feed, { kind: "failure", message: "The agent cannot be reached.", now_ms: T0 + 4000 });
    const html = draw(failed, T0 + STALE_AFTER_MS + 1);
    expect(html).not.toContain("Waiting");
    expect(html).toContain("No usable answer since the page was opened");
    expect(html).toContain("The agent cannot be reached.");
  });

  it("keeps showing the last figures when the agent is gone, and says so", () => {
    const html = draw(take(openFeed(T0), sampleAnswer()), T0 + STALE_AFTER_MS + 1);
    expect(html).toContain("Stale since");
    expect(textOf(html, "orders-total")).toBe("1,200");
    expect(textOf(html, "agent-state")).toBe("was running");
  });

  it("shows a malformed answer as an error and does not crash", () => {
    const feed = take(openFeed(T0), { generated_at_ms: "soon", queries: {} });
    expect(draw(feed, T0 + STALE_AFTER_MS + 1)).toContain("summary.generated_at_ms: expected an integer");
  });

  it("says which question the warehouse could not answer", () => {
    const body: any = sampleAnswer();
    delete body.queries.top_skus;
    body.queries_errors = { top_skus: "Code: 241. DB::Exception: Memory limit exceeded\nstack trace" };
    const html = draw(take(openFeed(T0), body), T0);
    expect(html).toContain("The warehouse could not answer: Code: 241. DB::Exception: Memory limit exceeded<");
    expect(html).toContain('data-testid="recent-order-1200"');
  });
});
