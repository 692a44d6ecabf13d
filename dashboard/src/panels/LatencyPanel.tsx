// From commit in Postgres to loaded in the warehouse: now, over the last hour, and how it is spread.
import { useMemo } from "react";
import type { History, Latency, LatencyMinute } from "../contract";
import type { Feed } from "../feed";
import { formatAge, formatCount, formatMilliseconds } from "../format";
import { Chart, type ChartShape } from "./Chart";
import { Empty, Figure, Panel, whyNothing } from "./Panel";

const shape: ChartShape = {
  series: [
    { label: "p99", color: "--accent-2", scale: "ms", kind: "line", gaps: true, format: formatMilliseconds },
    { label: "p95", color: "--accent-3", scale: "ms", kind: "line", gaps: true, format: formatMilliseconds },
    { label: "p50", color: "--accent", scale: "ms", kind: "area", gaps: true, format: formatMilliseconds },
  ],
  scales: [{ name: "ms", side: "left", floor: 100, logarithmic: true, format: shortBound }],
  bucket_ms: 60_000,
  height: 232,
};

export function LatencyPanel({ feed }: { feed: Feed }) {
  const latency = feed.summary?.latency_ms ?? null;
  const history = feed.summary?.history ?? null;
  return (
    <Panel title="Latency" area="latency" note={latency === null ? undefined : describeWindow(latency)}>
      <dl className="figures">
        <Figure label="Half arrive within (p50)" testid="latency-p50" value={formatMilliseconds(latency?.p50 ?? null)} />
        <Figure label="19 of 20 within (p95)" testid="latency-p95" value={formatMilliseconds(latency?.p95 ?? null)} />
        <Figure label="99 of 100 within (p99)" testid="latency-p99" value={formatMilliseconds(latency?.p99 ?? null)} />
      </dl>
      {feed.summary === null ? <Empty>{whyNothing(feed, undefined)}</Empty> : null}
      {history === null || history.minutes === null ? null : history.minutes.length === 0 ? (
        <Empty>No rows were loaded in the last hour.</Empty>
      ) : (
        <div className="halves">
          <figure>
            <MinutesChart minutes={history.minutes} now_ms={feed.summary?.generated_at_ms ?? 0} />
          </figure>
          <Histogram history={history} minutes={history.minutes} />
        </div>
      )}
    </Panel>
  );
}

function describeWindow(latency: Latency): string {
  const window = formatAge(latency.window_s * 1000);
  return latency.rows === 0
    ? `no rows loaded in the last ${window}`
    : `from commit to loaded, over the ${formatCount(latency.rows)} rows of the last ${window}`;
}

function describeMinutes(minutes: LatencyMinute[]): string {
  const worst = minutes.reduce<number>((most, minute) => Math.max(most, minute.p99 ?? 0), 0);
  const last = minutes.at(-1);
  return `Latency over the last hour: p50 is ${formatMilliseconds(last?.p50 ?? null)} now, the highest p99 was ${formatMilliseconds(worst)}.`;
}

// A logarithm has no zero; two clocks may even give less.
const positive = (value: number | null): number | null => (value === null ? null : Math.max(1, value));

const MINUTE_MS = 60_000;
const HOUR = 60; // minutes
const QUARTER = 15;

// All minutes of the hour, so that its axis stays, or of the last quarter while there are no older ones; undefined: no rows
// in it.
export function wholePeriod(minutes: LatencyMinute[], now_ms: number): { minute_ms: number; latency: LatencyMinute | undefined }[] {
  const by_time = new Map(minutes.map((minute) => [minute.minute_ms, minute]));
  const last_ms = Math.max(Math.floor(now_ms / MINUTE_MS) * MINUTE_MS, minutes.at(-1)?.minute_ms ?? 0);
  const count = minutes.some((minute) => minute.minute_ms <= last_ms - QUARTER * MINUTE_MS) ? HOUR : QUARTER;
  return Array.from({ length: count }, (_, i) => {
    const minute_ms = last_ms - (count - 1 - i) * MINUTE_MS;
    return { minute_ms, latency: by_time.get(minute_ms) };
  });
}

function MinutesChart({ minutes, now_ms }: { minutes: LatencyMinute[]; now_ms: number }) {
  const period = useMemo(() => wholePeriod(minutes, now_ms), [minutes, now_ms]);
  const times_ms = useMemo(() => period.map((minute) => minute.minute_ms), [period]);
  const values = useMemo(
    () => (["p99", "p95", "p50"] as const).map((name) => period.map(({ latency }) => positive(latency?.[name] ?? null))),
    [period],
  );
  return (
    <>
      <figcaption>Minute by minute, {period.length === HOUR ? "last hour" : `last ${QUARTER} min`} (logarithmic)</figcaption>
      <div className="chart low" role="img" aria-label={describeMinutes(minutes)} data-testid="latency-over-time">
        <Chart shape={shape} times_ms={times_ms} values={values} />
      </div>
    </>
  );
}

export interface Bucket {
  label: string;
  short: string;
  rows: number;
}

export function sumBuckets(history: History, minutes: LatencyMinute[]): Bucket[] {
  const { bounds_ms } = history;
  const at = (index: number): number => minutes.reduce((sum, minute) => sum + (minute.buckets[index] ?? 0), 0);
  const bounded = bounds_ms.map((bound, index) => ({ label: `up to ${shortBound(bound)}`, short: shortBound(bound), rows: at(index) }));
  return [...bounded, { label: `more than ${shortBound(bounds_ms.at(-1) ?? 0)}`, short: "more", rows: at(bounds_ms.length) }];
}

function shortBound(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}

function Histogram({ history, minutes }: { history: History; minutes: LatencyMinute[] }) {
  const buckets = sumBuckets(history, minutes);
  const all = buckets.reduce((sum, bucket) => sum + bucket.rows, 0);
  const most = Math.max(1, ...buckets.map((bucket) => bucket.rows));
  const mode = buckets.find((bucket) => bucket.rows === most);
  return (
    <figure>
      <figcaption>How it is spread, {formatCount(all)} rows of the last hour</figcaption>
      <div
        className="histogram" role="img" data-testid="latency-histogram"
        aria-label={`Histogram of latency: of ${formatCount(all)} rows most took ${mode?.label ?? "–"}.`}
      >
        {buckets.map((bucket, index) => (
          <div key={bucket.label} className="bin" title={`${bucket.label}: ${formatCount(bucket.rows)} rows`}>
            <span className="bar" style={{ blockSize: `${(100 * bucket.rows) / most}%` }} data-some={bucket.rows > 0} />
            <span className="tick">{index % 3 === 1 || index === buckets.length - 1 ? bucket.short : ""}</span>
          </div>
        ))}
      </div>
    </figure>
  );
}
