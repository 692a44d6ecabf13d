// The newest orders as the warehouse has them, each with the time it took from commit to here.
import type { RecentOrder } from "../contract";
import type { Feed } from "../feed";
import { formatCount, formatMilliseconds, formatMoney, formatTime } from "../format";
import { QueryPanel } from "./Panel";

const NEW_FOR_MS = 5_000;

export function RecentOrders({ feed, now_ms }: { feed: Feed; now_ms: number }) {
  return (
    <QueryPanel area="recent" title="Recent orders" feed={feed} query="recent_orders" empty="No orders yet. The first one placed in the shop appears here.">
      {(orders) => (
        <div className="scroll" tabIndex={0} role="region" aria-label="Recent orders as a table">
          <table className="recent">
            <thead>
              <tr>
                <th scope="col">Order</th>
                <th scope="col">Customer</th>
                <th scope="col" className="number roomy">Units</th>
                <th scope="col" className="number">Total</th>
                <th scope="col" className="number roomy">Placed</th>
                <th scope="col" className="number">Arrived after</th>
              </tr>
            </thead>
            <tbody>
              {orders.map((order) => (
                <OrderRow key={order.order_id} order={order} isNew={now_ms - order.placed_at_ms < NEW_FOR_MS} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </QueryPanel>
  );
}

function OrderRow({ order, isNew }: { order: RecentOrder; isNew: boolean }) {
  return (
    <tr data-testid={`recent-order-${order.order_id}`} className={isNew ? "fresh" : undefined}>
      <th scope="row">
        #{order.order_id} <small className="roomy">{order.status}</small>
      </th>
      <td className="cut" title={order.customer_name}>{order.customer_name}</td>
      <td className="number roomy">{formatCount(order.units)}</td>
      <td className="number" data-testid={`recent-order-${order.order_id}-total`}>{formatMoney(order.total)}</td>
      <td className="number roomy">{formatTime(order.placed_at_ms)}</td>
      <td className="number">{formatMilliseconds(order.latency_ms)}</td>
    </tr>
  );
}
