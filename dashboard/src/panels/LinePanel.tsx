// The line from the WAL to the warehouse, drawn as one: a station each, with what is there, how late and how well it is.
import type { Feed } from "../feed";
import { agentOf } from "../feed";
import { formatCount } from "../format";
import { stations, type Station } from "../stations";
import { firstLine, Panel } from "./Panel";

export function LinePanel({ feed, now_ms }: { feed: Feed; now_ms: number }) {
  const error = agentOf(feed)?.last_error ?? null;
  return (
    <Panel title="Line from Postgres to the warehouse" area="line">
      <ol className="line">
        {stations(feed, now_ms).map((station) => <StationView key={station.id} station={station} />)}
        <Siding feed={feed} />
      </ol>
      {error === null ? null : (
        <p className="trouble" data-testid="agent-last-error">Last error of the agent: {firstLine(error)}</p>
      )}
    </Panel>
  );
}

function StationView({ station }: { station: Station }) {
  return (
    <li className="station" data-tone={station.tone} data-testid={`station-${station.id}`}>
      <div className="track" aria-hidden="true"><span className="stop" /></div>
      <div className="plate">
        <h3>{station.name} <span className="health">{station.word}</span></h3>
        <p className="value" data-testid={station.testid}>{station.value}</p>
        <p className="detail">{station.label}</p>
        {station.details.map((detail) => <p key={detail} className="detail">{detail}</p>)}
      </div>
      {station.flow === undefined ? null : (
        <p className="flow"><span className="unseen">on to the next: </span>{station.flow}</p>
      )}
    </li>
  );
}

// What could not be loaded leaves the line here.
function Siding({ feed }: { feed: Feed }) {
  const count = feed.summary?.dlq.count ?? null;
  const tone = count === null ? "unknown" : count === 0 ? "good" : "bad";
  return (
    <li className="station siding" data-tone={tone}>
      <div className="track" aria-hidden="true"><span className="stop" /></div>
      <div className="plate">
        <h3>Dead letters</h3>
        <p className="value" data-testid="dlq-count">{formatCount(count)}</p>
        <p className="detail">{count === 0 ? "everything could be loaded" : "could not be loaded"}</p>
      </div>
    </li>
  );
}
