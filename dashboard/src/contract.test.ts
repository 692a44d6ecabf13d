import { describe, expect, it } from "vitest";
import { isPartial, readPartial, readSummary } from "./contract";
import { ContractError } from "./decode";
import { aloneAnswer, emptyAnswer, GENERATED_AT_MS, sampleAnswer } from "./sample";

function withChange(change: (answer: any) => void): unknown {
  const answer = structuredClone(sampleAnswer());
  change(answer);
  return answer;
}

describe("readSummary", () => {
  it("reads an answer", () => {
    const summary = readSummary(sampleAnswer());
    expect(summary.generated_at_ms).toBe(GENERATED_AT_MS);
    expect(summary.tables.map((table) => table.table)).toEqual(["orders", "log"]);
    expect(summary.queries.totals?.[0]?.revenue).toBe("91234.50");
    expect(summary.queries_errors.size).toBe(0);
    expect(summary.dlq.by_reason.get("damaged_event")).toBe(5);
  });

  it("reads 64-bit integers quoted or bare", () => {
    expect(readSummary(sampleAnswer()).queries.top_skus?.[0]?.units).toBe(310);
  });

  it("reads the answer of an empty database", () => {
    const summary = readSummary(emptyAnswer());
    expect(summary.queries).toEqual({});
    expect(summary.queries_errors.size).toBe(5);
  });

  it("reads the answer of an agent that says less", () => {
    const summary = readSummary(withChange((a) => { delete a.line; delete a.history; delete a.dead_letters; }));
    expect([summary.line, summary.history, summary.dead_letters]).toEqual([null, null, null]);
  });

  it("tells the answer without the warehouse from the other", () => {
    expect(isPartial(sampleAnswer())).toBe(false);
    expect(isPartial(aloneAnswer())).toBe(true);
    expect(readPartial(aloneAnswer()).message).toContain("Connection refused");
  });

  it("ignores members it does not know", () => {
    expect(() => readSummary(withChange((a) => { a.news = 1; a.agent.colour = "green"; a.queries.other = [{}]; }))).not.toThrow();
  });

  it.each<[string, (answer: any) => void, string]>([
    ["a missing member", (a) => delete a.generated_at_ms, "summary.generated_at_ms: expected an integer, got nothing"],
    ["a wrong type", (a) => { a.agent.state = 3; }, "summary.agent.state: expected a string, got 3"],
    ["a negative count", (a) => { a.dlq.count = -1; }, "summary.dlq.count: expected a count, got -1"],
    ["a fraction of a row", (a) => { a.tables[0].source_rows = 1.5; }, "summary.tables[0].source_rows: expected an integer"],
    ["an unsafe integer", (a) => { a.agent.rows_loaded = 2 ** 60; }, "summary.agent.rows_loaded: expected an integer"],
    ["an infinite latency", (a) => { a.latency_ms.p50 = Infinity; }, "summary.latency_ms.p50: expected a number"],
    ["a list for an object", (a) => { a.dlq.by_reason = []; }, "summary.dlq.by_reason: expected an object"],
    ["an object for a list", (a) => { a.tables = {}; }, "summary.tables: expected a list"],
  ])("refuses %s by its path", (_what, change, message) => {
    expect(() => readSummary(withChange(change))).toThrow(ContractError);
    expect(() => readSummary(withChange(change))).toThrow(message);
  });

  it.each([null, undefined, 3, "text", []])("refuses %j as an answer", (value) => {
    expect(() => readSummary(value)).toThrow(ContractError);
  });

  it("gives up only the query whose rows are malformed", () => {
    const summary = readSummary(withChange((a) => { a.queries.totals[0].revenue = 12.5; }));
    expect(summary.queries.totals).toBeUndefined();
    expect(summary.queries.recent_orders).toHaveLength(1);
    expect(summary.queries_errors.get("totals")).toContain("queries.totals[0].revenue: expected a decimal string, got 12.5");
  });
});
