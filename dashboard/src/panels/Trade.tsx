// Orders and revenue over time: a picture for the eye, one sentence and a table for those who cannot see it.
import { useMemo, useState } from "react";
import type { OrdersMinute } from "../contract";
import { isMissingTable, type Feed } from "../feed";
import { formatCount, formatMinute, formatMoney, formatTime } from "../format";
import { bucketMs, bucketsOf, describe, midnightBefore, queryOf, rangeFor, rangeNames, RANGES, sumMoney, type Range } from "../trade";
import { Chart, type ChartShape } from "./Chart";
import { Empty, firstLine, Panel, whyNothing } from "./Panel";

const HEIGHT_PX = 300;

function shapeOf(range: Range): ChartShape {
  return {
    series: [
      { label: "Orders", color: "--accent", scale: "orders", kind: "bars", format: formatCount },
      { label: "Revenue", color: "--accent-2", scale: "revenue", kind: "line", format: (n) => formatMoney(n.toFixed(2)) },
    ],
    scales: [
      { name: "orders", side: "left", floor: 4, whole: true, format: formatCount },
      { name: "revenue", side: "right", floor: 10, format: (n) => `$${formatCount(n)}` },
    ],
    bucket_ms: bucketMs[range],
    height: HEIGHT_PX,
  };
}

const shapes: Record<Range, ChartShape> = { today: shapeOf("today"), hour: shapeOf("hour"), quarter: shapeOf("quarter") };

export function Trade({ feed, now_ms }: { feed: Feed; now_ms: number }) {
  const [chosen, choose] = useState<Range | null>(null);
  const range = chosen ?? rangeFor(feed.queries);
  const midnight_ms = midnightBefore(now_ms);
  const buckets = useMemo(() => bucketsOf(feed.queries, range, midnight_ms), [feed.queries, range, midnight_ms]);
  const error = feed.summary?.queries_errors.get(queryOf(range));
  const known = feed.queries[queryOf(range)];
  return (
    <Panel
      title={range === "today" ? "Orders per quarter of an hour" : "Orders per minute"}
      area="trade"
      note={buckets === undefined ? undefined : <TradeSum buckets={buckets} />}
      tool={<Chooser range={range} choose={choose} />}
    >
      {buckets === undefined ? <Empty>{isMissingTable(error) ? "No orders yet." : whyNothing(feed, error)}</Empty> : (
        <>
          <div className="chart" role="img" aria-label={describe(buckets, range)} data-testid="orders-per-minute">
            <TradeChart key={range} buckets={buckets} range={range} />
          </div>
          <BucketsTable buckets={buckets} range={range} />
        </>
      )}
      {known !== undefined && error !== undefined ? (
        <p className="trouble">Not renewed since {formatTime(known.received_at_ms)}: {firstLine(error)}</p>
      ) : null}
    </Panel>
  );
}

function TradeSum({ buckets }: { buckets: OrdersMinute[] }) {
  const orders = buckets.reduce((sum, bucket) => sum + bucket.orders, 0);
  return (
    <>
      <b data-testid="range-orders">{formatCount(orders)}</b> orders,{" "}
      <b data-testid="range-revenue">{formatMoney(sumMoney(buckets.map((bucket) => bucket.revenue)))}</b>
    </>
  );
}

function Chooser({ range, choose }: { range: Range; choose: (range: Range) => void }) {
  return (
    <fieldset className="chooser">
      <legend className="unseen">Period</legend>
      {RANGES.map((name) => (
        <label key={name}>
          <input type="radio" name="range" value={name} checked={name === range} onChange={() => choose(name)} data-testid={`range-${name}`} />
          <span>{rangeNames[name]}</span>
        </label>
      ))}
    </fieldset>
  );
}

// Only here does money become a binary number: a height of a line needs no cents.
function TradeChart({ buckets, range }: { buckets: OrdersMinute[]; range: Range }) {
  const times_ms = useMemo(() => buckets.map((bucket) => bucket.minute_ms), [buckets]);
  const values = useMemo(
    () => [buckets.map((bucket) => bucket.orders), buckets.map((bucket) => Number(bucket.revenue))],
    [buckets],
  );
  return <Chart shape={shapes[range]} times_ms={times_ms} values={values} />;
}

function BucketsTable({ buckets, range }: { buckets: OrdersMinute[]; range: Range }) {
  const busy = buckets.filter((bucket) => bucket.orders > 0).reverse();
  return (
    <details>
      <summary>{describe(buckets, range)}</summary>
      {busy.length === 0 ? null : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Orders over time as a table">
          <table>
            <thead>
              <tr><th scope="col">From</th><th scope="col" className="number">Orders</th><th scope="col" className="number">Revenue</th></tr>
            </thead>
            <tbody>
              {busy.map((bucket) => (
                <tr key={bucket.minute_ms}>
                  <th scope="row">{formatMinute(bucket.minute_ms)}</th>
                  <td className="number">{formatCount(bucket.orders)}</td>
                  <td className="number">{formatMoney(bucket.revenue)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
