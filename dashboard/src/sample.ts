// An answer of the agent, as it comes over the wire, for the tests.
export const GENERATED_AT_MS = 1_800_000_000_000;

export function sampleAnswer(): Record<string, unknown> {
  return {
    generated_at_ms: GENERATED_AT_MS,
    agent: { state: "running", lag_messages: 3, rows_loaded: 4711, last_error: null, table_states: [] },
    tables: [
      {
        schema: "public", table: "orders", source_rows: 1200, exact: true, source_lsn: "0/3A81F2C8",
        source_taken_at_ms: GENERATED_AT_MS - 2300, warehouse_rows: 1200, warehouse_measured_at_ms: GENERATED_AT_MS - 1200,
        warehouse_newer: 0, difference: 0,
      },
      {
        schema: "audit", table: "log", source_rows: null, exact: null, source_lsn: null, source_taken_at_ms: null,
        warehouse_rows: null, warehouse_measured_at_ms: null, warehouse_newer: null, difference: null,
      },
    ],
    latency_ms: { window_s: 300, rows: 912, p50: 31.2, p95: 74.9, p99: 131.4 },
    dlq: { count: 7, by_reason: { damaged_event: 5, unknown_schema: 2 }, replayed: 3, discarded: 1 },
    line: sampleLine(),
    dead_letters: [
      {
        topic: "shop.public.orders", partition: 1, offset: "42", reason: "undecodable", error: "the event ends at byte 3",
        time_ms: GENERATED_AT_MS - 60_000, key: "id=7", dlq_partition: 0, dlq_offset: "4",
      },
    ],
    replay: { offered: true, running: false, last: { ended_at_ms: GENERATED_AT_MS - 9000, reason: "unknown_schema", done: true, message: "replayed 3 letters" } },
    history: {
      bounds_ms: [10, 100],
      minutes: [
        { minute_ms: GENERATED_AT_MS - 60_000, rows: 100, p50: 30.1, p95: 70, p99: 90, buckets: [40, 60, 0] },
        { minute_ms: GENERATED_AT_MS, rows: 11, p50: 31.2, p95: 74.9, p99: 131.4, buckets: [1, 8, 2] },
      ],
      schema_changes: [
        {
          database: "shop", view: "orders", fingerprint: "89abcdef01234567", time_ms: GENERATED_AT_MS - 90_000,
          columns: ["id", "total", "note"], previous: ["id", "total"],
        },
      ],
    },
    queries: {
      totals: [{ orders: 1200, revenue: "91234.50", average_order_value: "76.03", orders_last_minute: 21 }],
      orders_per_minute: [
        { minute_ms: GENERATED_AT_MS - 60_000, orders: 4, revenue: "310.00" },
        { minute_ms: GENERATED_AT_MS, orders: 9, revenue: "712.40" },
      ],
      orders_per_quarter: [{ minute_ms: GENERATED_AT_MS, orders: 13, revenue: "1022.40" }],
      top_skus: [{ sku: "MUG-01", name: "Enamel mug", units: "310", revenue: "3720.00" }],
      recent_orders: [
        {
          order_id: "1200", customer_name: "Ada", status: "placed", units: 2, total: "59.90",
          placed_at_ms: GENERATED_AT_MS - 400, latency_ms: 33,
        },
      ],
    },
  };
}

function sampleLine(): Record<string, unknown> {
  return {
    source: {
      pipeline: "shop", lsn: "0/3A81F2C8", server_lsn: "0/3A81F2C8", lag_bytes: 0, retained_wal_bytes: 131_072,
      sent_at_ms: GENERATED_AT_MS - 2000,
    },
    snapshots: [
      {
        id: 7, schema: "public", table: "orders", reason: "initial", state: "running", rows_done: 250, estimated_rows: 1000,
        error: null, sent_at_ms: GENERATED_AT_MS - 500,
      },
    ],
    kafka: { lag_messages: 3, waiting_since_ms: GENERATED_AT_MS - 40, reachable: true },
    agent: {
      at_ms: GENERATED_AT_MS, started_at_ms: GENERATED_AT_MS - 3_600_000, messages: 4800, rows: 4711, bytes: 900_000,
      inserts: 300, batch_rows: 3, tables_stopped: 0,
    },
    clickhouse_takes_rows: true,
  };
}

// While the warehouse is away (HTTP 503).
export function aloneAnswer(): Record<string, unknown> {
  return {
    generated_at_ms: GENERATED_AT_MS + 1000,
    agent: { state: "waiting_for_clickhouse", lag_messages: 3, rows_loaded: 4711, last_error: null, table_states: [] },
    line: { ...sampleLine(), clickhouse_takes_rows: false },
    error: { code: "warehouse_away", message: "http://127.0.0.1:8123: Connection refused" },
  };
}

export const MISSING_TABLE =
  "Code: 60. DB::Exception: Unknown table expression identifier 'orders' in scope SELECT count() FROM orders. (UNKNOWN_TABLE)";

// The answer before the first row of any table: the queries fail because their tables are not there.
export function emptyAnswer(): Record<string, unknown> {
  const errors = ["totals", "orders_per_minute", "orders_per_quarter", "top_skus", "recent_orders"].map((name) => [name, MISSING_TABLE]);
  return {
    generated_at_ms: GENERATED_AT_MS,
    agent: { state: "running", lag_messages: 0, rows_loaded: 0, last_error: null, table_states: [] },
    tables: [],
    latency_ms: { window_s: 300, rows: 0, p50: null, p95: null, p99: null },
    dlq: { count: 0, by_reason: {}, replayed: 0, discarded: 0 },
    queries: {},
    queries_errors: Object.fromEntries(errors),
  };
}
