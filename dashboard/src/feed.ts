// The page's memory of what the agent said, as a pure function of (memory, event): what is known, since when, and
// why it is not newer. The figures of the last good answer stay until a newer one replaces them; how old they are is
// always told. Times are the browser's clock except where a name says otherwise.
import { queryNames, readSummary, type QueryName, type QueryRows, type Summary } from "./contract";
import { ContractError } from "./decode";

// The agent answers at most once a second with something new; five missed ones are no longer a hiccup.
export const STALE_AFTER_MS = 5_000;

export interface Known<T> {
  rows: T;
  received_at_ms: number;
}

export type KnownQueries = { [K in QueryName]?: Known<QueryRows[K]> };

export interface Feed {
  opened_at_ms: number;
  summary: Summary | null;
  // When an answer with a new generated_at_ms last came: an answer repeated for ever is as stale as none. Judged by the
  // browser's clock alone, because the agent's may be set differently.
  fresh_at_ms: number | null;
  failure: string | null; // of the last try; null when it succeeded
  queries: KnownQueries;
}

export type FeedEvent =
  | { kind: "answer"; body: unknown; now_ms: number }
  | { kind: "failure"; message: string; now_ms: number };

export type Health =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "stale"; since_ms: number; reason: string; never: boolean };

export function openFeed(now_ms: number): Feed {
  return { opened_at_ms: now_ms, summary: null, fresh_at_ms: null, failure: null, queries: {} };
}

export function advance(feed: Feed, event: FeedEvent): Feed {
  if (event.kind === "failure") return { ...feed, failure: event.message };
  let summary: Summary;
  try {
    summary = readSummary(event.body);
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    return { ...feed, failure: `The agent's answer is malformed (${error.message}).` };
  }
  const renewed = feed.summary === null || summary.generated_at_ms !== feed.summary.generated_at_ms;
  return {
    ...feed,
    summary,
    failure: null,
    fresh_at_ms: renewed ? event.now_ms : feed.fresh_at_ms,
    queries: renewed ? remember(feed.queries, summary, event.now_ms) : feed.queries,
  };
}

function remember(known: KnownQueries, summary: Summary, now_ms: number): KnownQueries {
  const next: KnownQueries = { ...known };
  for (const name of queryNames) rememberOne(name, next, summary, now_ms);
  return next;
}

function rememberOne<K extends QueryName>(name: K, into: KnownQueries, summary: Summary, now_ms: number): void {
  const rows = summary.queries[name];
  if (rows !== undefined) (into as { [Q in K]?: Known<QueryRows[Q]> })[name] = { rows, received_at_ms: now_ms };
  else if (isMissingTable(summary.queries_errors.get(name))) delete into[name];
}

export function health(feed: Feed, now_ms: number): Health {
  const last_ms = feed.fresh_at_ms ?? feed.opened_at_ms;
  if (now_ms - last_ms <= STALE_AFTER_MS) {
    return feed.fresh_at_ms === null ? { kind: "connecting" } : { kind: "live" };
  }
  return {
    kind: "stale",
    since_ms: last_ms,
    reason: feed.failure ?? "The agent answers, but with figures it has not renewed.",
    never: feed.fresh_at_ms === null,
  };
}

// ClickHouse's code for a table that is not there (its name may be cut off a long message): no row of it has ever arrived, which is an empty shop and no fault.
export function isMissingTable(error: string | undefined): boolean {
  return error !== undefined && /Code: (60|81)\b/.test(error);
}

// The age, at now_ms, of something the agent dated by its own clock.
export function ageAt(feed: Feed, taken_at_ms: number | null, now_ms: number): number | null {
  if (taken_at_ms === null || feed.summary === null || feed.fresh_at_ms === null) return null;
  return Math.max(0, feed.summary.generated_at_ms - taken_at_ms) + Math.max(0, now_ms - feed.fresh_at_ms);
}
