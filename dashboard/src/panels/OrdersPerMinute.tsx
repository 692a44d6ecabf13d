// The last hour, minute by minute: a picture for the eye, one sentence and a table for those who cannot see it.
import type { OrdersMinute } from "../contract";
import type { Feed } from "../feed";
import { formatCount, formatMinute, formatMoney } from "../format";
import { Chart } from "./Chart";
import { QueryPanel } from "./Panel";

export function OrdersPerMinute({ feed }: { feed: Feed }) {
  return (
    <QueryPanel title="Orders per minute, last hour" feed={feed} query="orders_per_minute" empty="No orders yet.">
      {(minutes) => (
        <>
          <div className="chart" role="img" aria-label={describeMinutes(minutes)} data-testid="orders-per-minute">
            <Chart minutes={minutes} />
          </div>
          <MinutesTable minutes={minutes} />
        </>
      )}
    </QueryPanel>
  );
}

export function describeMinutes(minutes: OrdersMinute[]): string {
  const orders = minutes.reduce((sum, minute) => sum + minute.orders, 0);
  const busiest = minutes.reduce<OrdersMinute | null>((best, m) => (best === null || m.orders > best.orders ? m : best), null);
  if (orders === 0 || busiest === null) return "No orders in the last hour.";
  return `${formatCount(orders)} orders in the last hour; the busiest minute was ${formatMinute(busiest.minute_ms)} with ${formatCount(busiest.orders)}.`;
}

function MinutesTable({ minutes }: { minutes: OrdersMinute[] }) {
  const busy = minutes.filter((minute) => minute.orders > 0).reverse();
  return (
    <details>
      <summary>{describeMinutes(minutes)}</summary>
      {busy.length === 0 ? null : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Orders per minute as a table">
          <table>
            <thead>
              <tr><th scope="col">Minute</th><th scope="col" className="number">Orders</th><th scope="col" className="number">Revenue</th></tr>
            </thead>
            <tbody>
              {busy.map((minute) => (
                <tr key={minute.minute_ms}>
                  <th scope="row">{formatMinute(minute.minute_ms)}</th>
                  <td className="number">{formatCount(minute.orders)}</td>
                  <td className="number">{formatMoney(minute.revenue)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
