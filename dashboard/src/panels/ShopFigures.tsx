// The shop in four figures, all from one query and so of one moment.
import type { Totals } from "../contract";
import { isMissingTable, type Feed } from "../feed";
import { formatCount, formatMoney, formatTime } from "../format";
import { Figure, firstLine, Panel } from "./Panel";

const NO_ORDERS: Totals = { orders: 0, revenue: "0.00", average_order_value: null, orders_last_minute: 0 };

export function ShopFigures({ feed }: { feed: Feed }) {
  const known = feed.queries.totals;
  const error = feed.summary?.queries_errors.get("totals");
  const totals = known?.rows[0] ?? (isMissingTable(error) ? NO_ORDERS : null);
  return (
    <Panel title="Shop" area="shop">
      <dl className="figures">
        <Figure label="Orders" testid="orders-total" value={formatCount(totals?.orders ?? null)} />
        <Figure label="Revenue" testid="revenue-total" value={formatMoney(totals?.revenue ?? null)} />
        <Figure
          label="Average order value"
          testid="average-order-value"
          value={formatMoney(totals?.average_order_value ?? null)}
        />
        <Figure
          label="Orders in the last minute"
          testid="orders-last-minute"
          value={formatCount(totals?.orders_last_minute ?? null)}
        />
      </dl>
      {error !== undefined && !isMissingTable(error) ? (
        <p className="trouble">
          {known === undefined ? "The warehouse could not answer" : `Not renewed since ${formatTime(known.received_at_ms)}`}
          : {firstLine(error)}
        </p>
      ) : null}
    </Panel>
  );
}
