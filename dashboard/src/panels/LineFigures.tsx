// The line from Postgres to the warehouse in figures: how late, how far behind, how much, what was refused.
import type { Latency } from "../contract";
import type { Feed } from "../feed";
import { formatAge, formatCount, formatMilliseconds } from "../format";
import { Figure, firstLine, Panel } from "./Panel";

export function LineFigures({ feed }: { feed: Feed }) {
  const summary = feed.summary;
  const latency = summary?.latency_ms ?? null;
  const agent = summary?.agent ?? null;
  const dead = summary?.dlq.count ?? null;
  const lag = agent?.lag_messages ?? null;
  return (
    <Panel title="Line from Postgres to the warehouse" note={latency === null ? undefined : describeWindow(latency)}>
      <dl className="figures">
        <Figure label="Latency p50" testid="latency-p50" value={formatMilliseconds(latency?.p50 ?? null)} />
        <Figure label="Latency p95" testid="latency-p95" value={formatMilliseconds(latency?.p95 ?? null)} />
        <Figure label="Latency p99" testid="latency-p99" value={formatMilliseconds(latency?.p99 ?? null)} />
        <Figure label="Messages behind" testid="agent-lag" value={formatCount(lag)} />
        <Figure label="Rows loaded" testid="rows-loaded" value={formatCount(agent?.rows_loaded ?? null)} detail="since agent start" />
        <Figure
          label="Dead letters"
          testid="dlq-count"
          value={formatCount(dead)}
          tone={dead === null ? undefined : dead === 0 ? "good" : "bad"}
        />
      </dl>
      {agent?.last_error ? (
        <p className="trouble" data-testid="agent-last-error">Last error of the agent: {firstLine(agent.last_error)}</p>
      ) : null}
    </Panel>
  );
}

function describeWindow(latency: Latency): string {
  const window = formatAge(latency.window_s * 1000);
  return latency.rows === 0
    ? `no rows loaded in the last ${window}`
    : `latency from commit to loaded, over the ${formatCount(latency.rows)} rows of the last ${window}`;
}
