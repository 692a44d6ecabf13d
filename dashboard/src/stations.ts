// The line's stations as an operator reads them: what each has, how it is, how fast things move on to the next.
import { SOURCE_SILENT_MS, LAG_BYTES, LAG_OLD_MS, RETAINED_WAL_BYTES } from "./alerts";
import { ageAt, agentOf, health, lineOf, rate, walRate, type Feed } from "./feed";
import { formatAge, formatBytes, formatCount, formatMilliseconds, formatRate } from "./format";

export type Tone = "good" | "warn" | "bad" | "unknown";

export interface Station {
  id: string;
  name: string;
  tone: Tone;
  word: string; // the tone in a word, for those who see no colour
  value: string;
  testid?: string; // of the value
  label: string; // what the value is
  details: string[];
  flow?: string | undefined; // to the next station
}

const words: Record<Tone, string> = { good: "well", warn: "late", bad: "stopped", unknown: "not known" };

export function stations(feed: Feed, now_ms: number): Station[] {
  // What an agent said that does not answer now is not what is.
  const known = health(feed, now_ms).kind === "live" || feed.alone !== null;
  const list = [postgres(feed, now_ms), publisher(feed, now_ms), kafka(feed, now_ms), agent(feed), warehouse(feed)];
  return list.map((station) => {
    const tone = known ? station.tone : "unknown";
    return { ...station, tone, word: words[tone] };
  });
}

type Drawn = Omit<Station, "word">;

function heard(feed: Feed, now_ms: number) {
  const source = lineOf(feed)?.source ?? null;
  const age_ms = source === null ? null : ageAt(feed, source.sent_at_ms, now_ms);
  return { source, age_ms, silent: age_ms !== null && age_ms > SOURCE_SILENT_MS };
}

function postgres(feed: Feed, now_ms: number): Drawn {
  const { source, silent } = heard(feed, now_ms);
  const retained = source?.retained_wal_bytes ?? null;
  return {
    id: "postgres", name: "Postgres", label: "WAL kept for the slot", value: formatBytes(retained),
    tone: source === null ? "unknown" : silent ? "bad" : (retained ?? 0) > RETAINED_WAL_BYTES ? "warn" : "good",
    details: [source?.server_lsn ? `at ${source.server_lsn}` : "position not known"],
    flow: silent ? undefined : perSecond(formatBytes, walRate(feed)),
  };
}

function publisher(feed: Feed, now_ms: number): Drawn {
  const { source, age_ms, silent } = heard(feed, now_ms);
  const behind = source?.lag_bytes ?? null;
  return {
    id: "publisher", name: "Publisher", label: "behind the WAL", value: formatBytes(behind),
    tone: source === null ? "unknown" : silent ? "bad" : (behind ?? 0) > LAG_BYTES ? "warn" : "good",
    details: [age_ms === null ? "no word yet" : `spoke ${formatAge(age_ms)} ago`],
    flow: undefined,
  };
}

function kafka(feed: Feed, now_ms: number): Drawn {
  const line = lineOf(feed);
  const messages = line === null ? (feed.summary?.agent.lag_messages ?? null) : line.kafka.lag_messages;
  const waits_ms = line === null ? null : ageAt(feed, line.kafka.waiting_since_ms, now_ms);
  const away = agentOf(feed)?.state === "waiting_for_kafka";
  return {
    id: "kafka", name: "Kafka", label: "messages to load", value: formatCount(messages), testid: "agent-lag",
    tone: away ? "bad" : messages === null ? "unknown" : (waits_ms ?? 0) > LAG_OLD_MS && messages > 0 ? "warn" : "good",
    details: [
      away ? "does not answer" : messages === 0 ? "nothing waits" : waits_ms === null ? "age not known" : `oldest waits ${formatAge(waits_ms)}`,
    ],
    flow: away ? undefined : perSecond((n) => formatRate(n, "msg"), rate(feed, "messages"), ""),
  };
}

function agent(feed: Feed): Drawn {
  const said = agentOf(feed);
  const stopped = said?.table_states.filter((state) => state.state === "stopped").length ?? 0;
  const running = said?.state === "running";
  return {
    id: "agent", name: "Agent", label: "rows since its start", value: formatCount(said?.rows_loaded ?? null), testid: "rows-loaded",
    tone: said === null ? "unknown" : stopped > 0 ? "bad" : running ? "good" : "warn",
    details: [stopped > 0 ? `${stopped} ${stopped === 1 ? "table" : "tables"} stopped` : perSecond((n) => formatRate(n, "insert"), rate(feed, "inserts"), "") ?? "rate not known yet"],
    flow: perSecond((n) => formatRate(n, "row"), rate(feed, "rows"), ""),
  };
}

function warehouse(feed: Feed): Drawn {
  const away = feed.alone !== null || agentOf(feed)?.state === "waiting_for_clickhouse";
  const p50 = feed.summary?.latency_ms.p50 ?? null;
  return {
    id: "warehouse", name: "Warehouse", label: "from commit to here (p50)", value: away ? "–" : formatMilliseconds(p50),
    tone: away ? "bad" : feed.summary === null ? "unknown" : "good",
    details: [away ? "does not answer" : perSecond(formatBytes, rate(feed, "bytes")) ?? "rate not known yet"],
  };
}

// Undefined: not known yet.
function perSecond(format: (value: number) => string, value: number | null, end = "/s"): string | undefined {
  return value === null ? undefined : `${format(value)}${end}`;
}
