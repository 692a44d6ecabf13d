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
  exact: boolean | null; // false: source_rows is the planner's estimate, or was counted while somebody committed
  source_lsn: string | null;
  source_taken_at_ms: number | null;
  warehouse_rows: number | null;
  warehouse_measured_at_ms: number | null;
  warehouse_newer: number | null; // changes in the warehouse that the source had not counted yet
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

// A letter that waits, as the mirror table has it; the key is text, or "(masked)".
export interface Letter {
  topic: string;
  partition: number;
  offset: number;
  reason: string;
  error: string;
  time_ms: number;
  key: string;
  dlq_partition: number;
  dlq_offset: number;
}

// What the publisher last said; it speaks every five seconds, by way of Kafka.
export interface Source {
  pipeline: string | null;
  lsn: string | null; // acknowledged by Kafka up to here
  server_lsn: string | null; // written by the server up to here
  lag_bytes: number | null; // between the two
  retained_wal_bytes: number | null;
  sent_at_ms: number;
}

export interface Snapshot {
  id: number;
  schema: string | null;
  table: string | null;
  reason: string | null;
  state: string | null; // running, done or failed
  rows_done: number | null;
  estimated_rows: number | null;
  error: string | null;
  sent_at_ms: number;
}

// Counted since the agent's start, as of at_ms.
export interface Counters {
  at_ms: number;
  started_at_ms: number;
  messages: number;
  rows: number;
  bytes: number;
  inserts: number;
  batch_rows: number;
  tables_stopped: number;
}

// The line itself, told also while the warehouse is away.
export interface Line {
  source: Source | null; // null: not heard of yet, or another agent of the group hears it
  snapshots: Snapshot[]; // the newest first
  kafka: { lag_messages: number | null; waiting_since_ms: number | null; reachable: boolean };
  agent: Counters;
  clickhouse_takes_rows: boolean;
}

export interface LatencyMinute {
  minute_ms: number;
  rows: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  buckets: number[]; // one more than bounds_ms: the last has no end
}

export interface SchemaChange {
  database: string;
  view: string;
  fingerprint: string;
  time_ms: number;
  columns: string[];
  previous: string[]; // empty: the first schema
}

// Null: the warehouse did not answer that one in time.
export interface History {
  bounds_ms: number[];
  minutes: LatencyMinute[] | null;
  schema_changes: SchemaChange[] | null;
}

// Replaying by button: off unless the agent's file says otherwise.
export interface Replay {
  offered: boolean;
  running: boolean;
  last: { ended_at_ms: number; reason: string; done: boolean; message: string } | null;
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
  orders_per_quarter: OrdersMinute[]; // minute_ms begins a quarter of an hour
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
  line: Line | null; // null: of an older agent, as the next two
  dead_letters: Letter[] | null; // the newest that wait
  history: History | null;
  replay: Replay | null;
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
  warehouse_newer: nullable(integer),
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

const readSource = object<Source>({
  pipeline: nullable(text),
  lsn: nullable(text),
  server_lsn: nullable(text),
  lag_bytes: nullable(count),
  retained_wal_bytes: nullable(integer),
  sent_at_ms: integer,
});

const readSnapshot = object<Snapshot>({
  id: integer,
  schema: nullable(text),
  table: nullable(text),
  reason: nullable(text),
  state: nullable(text),
  rows_done: nullable(count),
  estimated_rows: nullable(integer),
  error: nullable(text),
  sent_at_ms: integer,
});

const readLine = object<Line>({
  source: nullable(readSource),
  snapshots: list(readSnapshot),
  kafka: object<Line["kafka"]>({ lag_messages: nullable(count), waiting_since_ms: nullable(integer), reachable: boolean }),
  agent: object<Counters>({
    at_ms: integer, started_at_ms: integer, messages: count, rows: count, bytes: count, inserts: count, batch_rows: count,
    tables_stopped: count,
  }),
  clickhouse_takes_rows: boolean,
});

const readLetter = object<Letter>({
  topic: text,
  partition: integer,
  offset: integer,
  reason: text,
  error: text,
  time_ms: integer,
  key: text,
  dlq_partition: integer,
  dlq_offset: integer,
});

const readHistory = object<History>({
  bounds_ms: list(count),
  minutes: nullable(
    list(
      object<LatencyMinute>({
        minute_ms: integer, rows: count, p50: nullable(real), p95: nullable(real), p99: nullable(real), buckets: list(count),
      }),
    ),
  ),
  schema_changes: nullable(
    list(
      object<SchemaChange>({
        database: text, view: text, fingerprint: text, time_ms: integer, columns: list(text), previous: list(text),
      }),
    ),
  ),
});

const readReplay = object<Replay>({
  offered: boolean,
  running: boolean,
  last: nullable(object<NonNullable<Replay["last"]>>({ ended_at_ms: integer, reason: text, done: boolean, message: text })),
});

const readOrdersMinutes = list(object<OrdersMinute>({ minute_ms: integer, orders: count, revenue: decimal }));

const queryReaders: { [K in QueryName]: Reader<QueryRows[K]> } = {
  orders_per_minute: readOrdersMinutes,
  orders_per_quarter: readOrdersMinutes,
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
    line: nullable(readLine),
    dead_letters: nullable(list(readLetter)),
    history: nullable(readHistory),
    replay: nullable(readReplay),
  })(value, "summary");
  return { ...inner, queries, queries_errors };
}

// What the agent says while the warehouse is away.
export interface AgentAlone {
  agent: AgentState;
  line: Line | null;
  message: string;
}

export function isPartial(value: unknown): boolean {
  return typeof value === "object" && value !== null && "error" in value;
}

export function readPartial(value: unknown): AgentAlone {
  const read = object<{ agent: AgentState; line: Line | null; error: { message: string } }>({
    agent: readAgent,
    line: nullable(readLine),
    error: object<{ message: string }>({ message: text }),
  })(value, "summary");
  return { agent: read.agent, line: read.line, message: read.error.message };
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
