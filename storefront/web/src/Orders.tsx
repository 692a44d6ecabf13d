// The order that was just placed, and the customer's earlier ones.
import type { Order } from "./api";
import { formatMoney } from "./money";

export function OrderPlaced({ order, onClose }: { order: Order; onClose: () => void }) {
  return (
    <section className="panel placed">
      <h2>Thank you!</h2>
      <p>
        Order <strong data-testid="order-id">{order.order_id}</strong> is placed: {formatMoney(order.total)}. It is on its way
        through Kafka into the warehouse, and on the dashboard a moment from now.
      </p>
      <button type="button" onClick={onClose}>
        Go on shopping
      </button>
    </section>
  );
}

const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function formatTime(text: string): string {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : when.format(time);
}

export function OrderList({ orders }: { orders: readonly Order[] }) {
  return (
    <section aria-labelledby="my-orders">
      <h2 id="my-orders">My orders</h2>
      {orders.length === 0 && <p className="quiet">You have not ordered anything yet.</p>}
      <ul className="orders">
        {orders.map((order) => (
          <li key={order.order_id} data-testid={`my-order-${order.order_id}`}>
            <span>
              No. {order.order_id} · <time dateTime={order.placed_at}>{formatTime(order.placed_at)}</time>
            </span>
            <span className="quiet">{order.items.map((item) => `${item.quantity} × ${item.name}`).join(", ")}</span>
            <strong className="number">{formatMoney(order.total)}</strong>
          </li>
        ))}
      </ul>
    </section>
  );
}
