// What GET /api/summary of walhouse-agent says, as types and as the readers that check it. The names are the
// wire's own. Times are milliseconds since 1970 in UTC by the agent's clock; money is decimal text.
import {
  ContractError, boolean, count, decimal, dictionary, integer, list, nullable, object, real, text, type Reader,
} from "./decode";

// What a table does that does not simply load.
export interface TableState {
  table: string;
  state: string; // stopped, filling or loading
  code: string;
  reason: string;
  way_out: string;
  since_ms: number;
}

export interface AgentState {
  state: string;
  lag_messages: number | null; // null: the broker has not told
  rows_loaded: number;
  last_error: string | null;
  table_states: TableState[]; // the gravest first
}

// One table on both sides. The warehouse's count is taken after source_lsn has been loaded, so that the two are of one moment.
export interface TableCounts {
  schema: string;
  table: string;
  source_rows: number | null;
  exact: boolean | null; // false: source_rows is the planner's estimate
  source_lsn: string | null;
  source_taken_at_ms: number | null;
  warehouse_rows: number | null;
  warehouse_measured_at_ms: number | null;
  difference: number | null;
}

// Commit in Postgres to loaded in the warehouse, over the rows of the last window_s seconds.
export interface Latency {
  window_s: number;
  rows: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

// count and by_reason are of those that wait.
export interface DeadLetters {
  count: number;
  by_reason: Map<string, number>;
  replayed: number;
  discarded: number;
}

// The shop's own questions: dashboard/queries/<name>.sql, one interface each.
export interface OrdersMinute {
  minute_ms: number;
  orders: number;
  revenue: string;
}

export interface Totals {
  orders: number;
  revenue: string;
  average_order_value: string | null; // null: no orders
  orders_last_minute: number;
}

export interface TopSku {
  sku: string;
  name: string;
  units: number;
  revenue: string;
}

export interface RecentOrder {
  order_id: string;
  customer_name: string;
  status: string;
  units: number;
  total: string;
  placed_at_ms: number;
  latency_ms: number | null; // commit in Postgres to loaded in the warehouse
}

export interface QueryRows {
  orders_per_minute: OrdersMinute[];
  totals: Totals[];
  top_skus: TopSku[];
  recent_orders: RecentOrder[];
}

export type QueryName = keyof QueryRows;

export interface Summary {
  generated_at_ms: number;
  agent: AgentState;
  tables: TableCounts[];
  latency_ms: Latency;
  dlq: DeadLetters;
  queries: Partial<QueryRows>;
  queries_errors: Map<string, string>; // by query name: why there are no rows
}

const readTableState = object<TableState>({
  table: text,
  state: text,
  code: text,
  reason: text,
  way_out: text,
  since_ms: integer,
});

const readAgent = object<AgentState>({
  state: text,
  lag_messages: nullable(count),
  rows_loaded: count,
  last_error: nullable(text),
  table_states: list(readTableState),
});

const readTable = object<TableCounts>({
  schema: text,
  table: text,
  source_rows: nullable(count),
  exact: nullable(boolean),
  source_lsn: nullable(text),
  source_taken_at_ms: nullable(integer),
  warehouse_rows: nullable(count),
  warehouse_measured_at_ms: nullable(integer),
  difference: nullable(integer),
});

const readLatency = object<Latency>({
  window_s: count,
  rows: count,
  p50: nullable(real),
  p95: nullable(real),
  p99: nullable(real),
});

const readDeadLetters = object<DeadLetters>({ count, by_reason: dictionary(count), replayed: count, discarded: count });

const queryReaders: { [K in QueryName]: Reader<QueryRows[K]> } = {
  orders_per_minute: list(object<OrdersMinute>({ minute_ms: integer, orders: count, revenue: decimal })),
  totals: list(
    object<Totals>({ orders: count, revenue: decimal, average_order_value: nullable(decimal), orders_last_minute: count }),
  ),
  top_skus: list(object<TopSku>({ sku: text, name: text, units: integer, revenue: decimal })),
  recent_orders: list(
    object<RecentOrder>({
      order_id: text,
      customer_name: text,
      status: text,
      units: integer,
      total: decimal,
      placed_at_ms: integer,
      latency_ms: nullable(integer),
    }),
  ),
};

export const queryNames = Object.keys(queryReaders) as QueryName[];

// Throws ContractError. A query whose rows are malformed is one more entry of queries_errors: the others still show.
export function readSummary(value: unknown): Summary {
  const outer = object<{ queries: Map<string, unknown> | null; queries_errors: Map<string, string> | null }>({
    queries: nullable(dictionary((item: unknown) => item)),
    queries_errors: nullable(dictionary(text)),
  })(value, "summary");
  const queries: Partial<QueryRows> = {};
  const queries_errors = new Map(outer.queries_errors ?? []);
  for (const name of queryNames) readQuery(name, outer.queries?.get(name), queries, queries_errors);
  const inner = object<Omit<Summary, "queries" | "queries_errors">>({
    generated_at_ms: integer,
    agent: readAgent,
    tables: list(readTable),
    latency_ms: readLatency,
    dlq: readDeadLetters,
  })(value, "summary");
  return { ...inner, queries, queries_errors };
}

function readQuery<K extends QueryName>(name: K, rows: unknown, into: Partial<QueryRows>, errors: Map<string, string>): void {
  if (rows === undefined) return;
  try {
    into[name] = queryReaders[name](rows, `queries.${name}`);
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    errors.set(name, error.message);
  }
}
