// What an operator should know before anything else, with the way out of each: a pure function of what is known.
import { ageAt, agentOf, health, lineOf, type Feed } from "./feed";
import { formatAge, formatBytes, formatCount } from "./format";

export interface Alert {
  id: string;
  tone: "bad" | "warn";
  title: string;
  detail: string;
  way_out: string;
}

// The publisher speaks every five seconds.
export const SOURCE_SILENT_MS = 20_000;
export const LAG_OLD_MS = 30_000;
export const LAG_BYTES = 64 * 1024 * 1024;
export const RETAINED_WAL_BYTES = 1024 * 1024 * 1024;

export function alerts(feed: Feed, now_ms: number): Alert[] {
  // The last words of an agent that is away are no alerts of now; that it is away says the banner above.
  if (health(feed, now_ms).kind !== "live" && feed.alone === null) return [];
  return [...ends(feed), ...tables(feed), ...source(feed, now_ms), ...lag(feed, now_ms), ...letters(feed), ...snapshots(feed)];
}

function ends(feed: Feed): Alert[] {
  const agent = agentOf(feed);
  if (agent?.state === "waiting_for_kafka") {
    return [{
      id: "kafka", tone: "bad", title: "Kafka does not answer.",
      detail: "Nothing new arrives. Postgres keeps the WAL, and nothing is lost while it has room for it.",
      way_out: "Bring the brokers back; publisher and agent go on by themselves. Watch the disk of Postgres.",
    }];
  }
  if (agent?.state === "waiting_for_clickhouse") {
    return [{
      id: "warehouse", tone: "bad", title: "The warehouse does not take rows.",
      detail: "They wait in Kafka for as long as its retention. The figures below are of before.",
      way_out: "Bring ClickHouse back; the agent tries for ever and goes on by itself.",
    }];
  }
  return [];
}

function tables(feed: Feed): Alert[] {
  const stopped = (agentOf(feed)?.table_states ?? []).filter((state) => state.state === "stopped");
  return stopped.map((state) => ({
    id: `table-${state.table}-${state.code}`, tone: "bad", title: `Table ${state.table} is stopped.`,
    detail: `${state.reason}. Its messages wait in Kafka; the other tables go on.`, way_out: state.way_out,
  }));
}

function source(feed: Feed, now_ms: number): Alert[] {
  const heard = lineOf(feed)?.source ?? null;
  if (heard === null || agentOf(feed)?.state === "waiting_for_kafka") return [];
  const found: Alert[] = [];
  const silent_ms = ageAt(feed, heard.sent_at_ms, now_ms);
  if (silent_ms !== null && silent_ms > SOURCE_SILENT_MS) {
    found.push({
      id: "source", tone: "bad", title: `The publisher has been silent for ${formatAge(silent_ms)}.`,
      detail: "It speaks every five seconds. Changes in Postgres do not reach Kafka.",
      way_out: "Is Postgres up? If it is, SELECT * FROM walhouse.status says what to do.",
    });
  }
  if (heard.retained_wal_bytes !== null && heard.retained_wal_bytes > RETAINED_WAL_BYTES) {
    found.push({
      id: "wal", tone: "warn", title: `Postgres keeps ${formatBytes(heard.retained_wal_bytes)} of WAL for this pipeline.`,
      detail: "It is freed when Kafka has acknowledged it and no old transaction is open.",
      way_out: "Look at walhouse.status (what_to_do), pg_stat_activity and pg_prepared_xacts on the source.",
    });
  }
  return found;
}

function lag(feed: Feed, now_ms: number): Alert[] {
  const line = lineOf(feed);
  const found: Alert[] = [];
  const waits_ms = line === null ? null : ageAt(feed, line.kafka.waiting_since_ms, now_ms);
  if (waits_ms !== null && waits_ms > LAG_OLD_MS && (line?.kafka.lag_messages ?? 0) > 0) {
    found.push({
      id: "lag", tone: "warn", title: `The warehouse is ${formatAge(waits_ms)} behind Kafka.`,
      detail: `${formatCount(line?.kafka.lag_messages ?? null)} messages wait to be loaded.`,
      way_out: "If it does not shrink: more partitions and more agents, or find out why inserts are slow (metrics).",
    });
  }
  if ((line?.source?.lag_bytes ?? 0) > LAG_BYTES) {
    found.push({
      id: "source-lag", tone: "warn", title: `The publisher is ${formatBytes(line?.source?.lag_bytes ?? null)} behind Postgres.`,
      detail: "WAL that is written and not yet acknowledged by Kafka: a burst, a long transaction, or slow brokers.",
      way_out: "It catches up by itself; walhouse.status says what holds it up if it does not.",
    });
  }
  return found;
}

function letters(feed: Feed): Alert[] {
  const count = feed.summary?.dlq.count ?? 0;
  if (count === 0) return [];
  return [{
    id: "dlq", tone: "warn", title: `${formatCount(count)} ${count === 1 ? "message is" : "messages are"} in the dead letters.`,
    detail: "They could not be loaded; their rows stay as they were.",
    way_out: "The reasons are below under Dead letters; mend the cause, then replay or discard.",
  }];
}

function snapshots(feed: Feed): Alert[] {
  const failed = (lineOf(feed)?.snapshots ?? []).filter((snapshot) => snapshot.state === "failed");
  return failed.slice(0, 1).map((snapshot) => ({
    id: `snapshot-${snapshot.id}`, tone: "warn", title: `The snapshot of ${snapshot.schema}.${snapshot.table} failed.`,
    detail: snapshot.error ?? "It did not say why.",
    way_out: `Mend the cause, then SELECT walhouse.snapshot('…', '${snapshot.schema}.${snapshot.table}').`,
  }));
}
