// The customer's orders, and one of them.
import { useEffect, useState } from "react";
import { getOrder, toMessage, type Order, type OrderItem } from "./api";
import { DashboardLink } from "./DashboardLink";
import { JourneyStrip } from "./Journey";
import { formatCents, formatMoney, toCents } from "./money";
import { toHref } from "./route";

const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

function formatTime(text: string): string {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : when.format(time);
}

export function OrdersPage({ orders }: { orders: readonly Order[] | undefined }) {
  return (
    <section aria-labelledby="title">
      <h1 id="title" tabIndex={-1}>
        My orders
      </h1>
      {orders?.length === 0 && (
        <p className="empty" data-testid="no-orders">
          You have not ordered anything yet. <a href={toHref({ page: "home" })}>Have a look around</a>
        </p>
      )}
      <ul className="orders">
        {orders?.map((order) => (
          <li key={order.order_id} data-testid={`my-order-${order.order_id}`}>
            <span>
              <a href={toHref({ page: "order", id: order.order_id })}>Order {order.order_id}</a>
              <br />
              <time className="quiet small" dateTime={order.placed_at}>
                {formatTime(order.placed_at)}
              </time>
            </span>
            <span className="quiet">{order.items.map((item) => `${item.quantity} × ${item.name}`).join(", ")}</span>
            <strong className="number">{formatMoney(order.total)}</strong>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What is known of the order already, or what the shop says of it. */
function useOrder(id: number, known: Order | undefined): { order: Order | undefined; error: string | undefined } {
  const [order, setOrder] = useState<Order>();
  const [error, setError] = useState<string>();
  const found = known !== undefined;
  useEffect(() => {
    let gone = false;
    if (!found)
      getOrder(id).then(
        (answer) => gone || setOrder(answer),
        (problem: unknown) => gone || setError(toMessage(problem)),
      );
    return () => {
      gone = true;
    };
  }, [id, found]);
  return { order: known ?? order, error: found ? undefined : error };
}

type Props = { id: number; known: Order | undefined; placedNow: boolean; dashboard: string | undefined };

export function OrderPage({ id, known, placedNow, dashboard }: Props) {
  const { order, error } = useOrder(id, known);
  return (
    <section className="order" aria-labelledby="title">
      <h1 id="title" tabIndex={-1}>
        {placedNow && order ? "Thank you!" : `Order ${id}`}
      </h1>
      {error && (
        <p className="error" role="alert" data-testid="order-error">
          {error} <a href={toHref({ page: "orders" })}>To your orders</a>
        </p>
      )}
      {order && (
        <>
          <p>
            Order <strong data-testid="order-id">{order.order_id}</strong> was placed on{" "}
            <time dateTime={order.placed_at}>{formatTime(order.placed_at)}</time>.
          </p>
          <JourneyStrip order={id} />
          <Items items={order.items} total={order.total} />
          <p>
            <a href={toHref({ page: "home" })}>Go on shopping</a>
            {dashboard && (
              <>
                {" "}
                or <DashboardLink url={dashboard}>see it on the dashboard</DashboardLink>
              </>
            )}
          </p>
        </>
      )}
    </section>
  );
}

function Items({ items, total }: { items: readonly OrderItem[]; total: string }) {
  return (
    <table className="panel receipt">
      <caption className="hidden">What was ordered</caption>
      <thead>
        <tr>
          <th scope="col">Article</th>
          <th scope="col">Each</th>
          <th scope="col">Sum</th>
        </tr>
      </thead>
      <tbody>
        {items.map((item) => (
          <tr key={item.sku}>
            <td>
              {item.quantity} × <a href={toHref({ page: "product", sku: item.sku })}>{item.name}</a>
            </td>
            <td>{formatMoney(item.unit_price)}</td>
            <td>{formatCents((toCents(item.unit_price) ?? 0) * item.quantity)}</td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row" colSpan={2}>
            Together
          </th>
          <td>
            <strong data-testid="order-total">{formatMoney(total)}</strong>
          </td>
        </tr>
      </tfoot>
    </table>
  );
}
