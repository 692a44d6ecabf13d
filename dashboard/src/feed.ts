// The page's memory of what the agent said, as a pure function of (memory, event): what is known, since when, and
// why it is not newer. The figures of the last good answer stay until a newer one replaces them; how old they are is
// always told. Times are the browser's clock except where a name says otherwise.
import {
  isPartial, queryNames, readPartial, readSummary, type AgentAlone, type AgentState, type Line, type QueryName, type QueryRows, type Summary,
} from "./contract";
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
  alone: AgentAlone | null; // the last answer, when the agent gave one without the warehouse
  lines: Line[]; // of the last answers, the newest last: two of them make a rate
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
  return { opened_at_ms: now_ms, summary: null, fresh_at_ms: null, failure: null, alone: null, lines: [], queries: {} };
}

export function advance(feed: Feed, event: FeedEvent): Feed {
  if (event.kind === "failure") return { ...feed, failure: event.message, alone: null };
  try {
    return isPartial(event.body) ? takeAlone(feed, readPartial(event.body)) : takeSummary(feed, readSummary(event.body), event.now_ms);
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    return { ...feed, failure: `The agent's answer is malformed (${error.message}).`, alone: null };
  }
}

function takeAlone(feed: Feed, alone: AgentAlone): Feed {
  return { ...feed, alone, failure: `The warehouse does not answer: ${alone.message}`, lines: keepLine(feed.lines, alone.line) };
}

function takeSummary(feed: Feed, summary: Summary, now_ms: number): Feed {
  const renewed = feed.summary === null || summary.generated_at_ms !== feed.summary.generated_at_ms;
  return {
    ...feed,
    summary,
    failure: null,
    alone: null,
    fresh_at_ms: renewed ? now_ms : feed.fresh_at_ms,
    lines: renewed ? keepLine(feed.lines, summary.line) : feed.lines,
    queries: renewed ? remember(feed.queries, summary, now_ms) : feed.queries,
  };
}

const LINES_MAX = 12;

// Counters of a process that was started anew are no continuation.
function keepLine(lines: Line[], line: Line | null): Line[] {
  if (line === null) return lines;
  const last = lines.at(-1);
  if (last !== undefined && last.agent.started_at_ms !== line.agent.started_at_ms) return [line];
  return [...lines, line].slice(-LINES_MAX);
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

// The line as it was last told of, with the warehouse or without.
export function lineOf(feed: Feed): Line | null {
  return feed.lines.at(-1) ?? null;
}

export function agentOf(feed: Feed): AgentState | null {
  return feed.alone?.agent ?? feed.summary?.agent ?? null;
}

// By how much a counter grows in a second, over the last answers; null while there is but one.
export function rate(feed: Feed, counter: "messages" | "rows" | "bytes" | "inserts"): number | null {
  const first = feed.lines[0]?.agent;
  const last = feed.lines.at(-1)?.agent;
  if (first === undefined || last === undefined || last.at_ms <= first.at_ms) return null;
  return (1000 * (last[counter] - first[counter])) / (last.at_ms - first.at_ms);
}

// WAL written in a second, between the first and the last heartbeat of the last answers; null while there is but one.
export function walRate(feed: Feed): number | null {
  const heard = feed.lines.flatMap((line) => (line.source === null ? [] : [line.source]));
  const first = heard[0];
  const last = heard.at(-1);
  const from = readLsn(first?.server_lsn);
  const to = readLsn(last?.server_lsn);
  if (first === undefined || last === undefined || from === null || to === null || last.sent_at_ms <= first.sent_at_ms) return null;
  return Math.max(0, (1000 * Number(to - from)) / (last.sent_at_ms - first.sent_at_ms));
}

function readLsn(text: string | null | undefined): bigint | null {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text ?? "");
  return match === null ? null : (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
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
