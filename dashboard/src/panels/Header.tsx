// Who is speaking and whether to believe it: the agent's state, and whether the figures are of now.
import { agentOf, type Feed, type Health } from "../feed";
import { formatAge, formatTime, humanize } from "../format";

export function Header({ feed, health }: { feed: Feed; health: Health }) {
  return (
    <header className="masthead">
      <h1>
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <path d="M4 26V13L16 4l12 9v13" />
          <path className="thin" d="M10 26v-6m6 6V14m6 12v-9" />
        </svg>
        Walhouse <span>dashboard</span>
      </h1>
      <div className="badges">
        <AgentBadge feed={feed} health={health} />
        <HealthBadge health={health} />
      </div>
    </header>
  );
}

function AgentBadge({ feed, health }: { feed: Feed; health: Health }) {
  const agent = agentOf(feed);
  if (agent === null) return null;
  // The last state an unreachable agent told is not its state.
  const answers = health.kind === "live" || feed.alone !== null;
  const shown = answers ? humanize(agent.state) : `was ${humanize(agent.state)}`;
  return (
    <span className="badge" data-tone={answers ? agentTone(agent.state) : "warn"}>
      Agent <b data-testid="agent-state">{shown}</b>
    </span>
  );
}

export function agentTone(state: string): "good" | "warn" | "bad" {
  if (/^(running|ok|ready|idle|loading|streaming)$/.test(state)) return "good";
  return /fatal|fail|error|stop/.test(state) ? "bad" : "warn";
}

function HealthBadge({ health }: { health: Health }) {
  const label = { connecting: "Connecting", live: "Live", stale: "Stale" }[health.kind];
  const tone = { connecting: "warn", live: "good", stale: "bad" }[health.kind];
  return (
    <span className="badge" data-tone={tone} data-testid="health" data-health={health.kind}>
      <b>{label}</b>
    </span>
  );
}

// The live region exists from the start, or a screen reader would not announce what later appears in it.
export function StaleBanner({ health, now_ms }: { health: Health; now_ms: number }) {
  return (
    <div role="status" className="banners">
      {health.kind === "stale" ? (
        <p className="banner" data-tone="bad" data-testid="stale-banner">
          <strong>
            {health.never ? "No usable answer since the page was opened at" : "Stale since"} {formatTime(health.since_ms)}
          </strong>{" "}
          <span aria-hidden="true">({formatAge(now_ms - health.since_ms)} ago)</span>. {health.reason}{" "}
          {health.never ? "The page keeps asking." : "The figures below are of then; the page keeps asking."}
        </p>
      ) : null}
    </div>
  );
}
