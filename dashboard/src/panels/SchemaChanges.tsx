// Schemas as they took over the warehouse's views, the newest first.
import type { SchemaChange } from "../contract";
import type { Feed } from "../feed";
import { formatMoment } from "../format";
import { describeChange } from "../schemas";
import { Empty, Panel, whyNothing } from "./Panel";

const SHOWN_MAX = 8;

export function SchemaChanges({ feed }: { feed: Feed }) {
  const changes = feed.summary?.history?.schema_changes ?? null;
  return (
    <Panel title="Schema changes" area="schemas" note="as the warehouse's views took them over">
      {changes === null ? <Empty>{whyNothing(feed, undefined)}</Empty> : changes.length === 0 ? (
        <Empty>No table has come through the pipeline yet.</Empty>
      ) : (
        <ol className="events" data-testid="schema-changes">
          {changes.slice(0, SHOWN_MAX).map((change) => <Change key={`${change.database}.${change.view} ${change.fingerprint}`} change={change} />)}
        </ol>
      )}
    </Panel>
  );
}

function Change({ change }: { change: SchemaChange }) {
  return (
    <li>
      <time dateTime={new Date(change.time_ms).toISOString()}>{formatMoment(change.time_ms)}</time>
      <p><b>{change.view}</b> {describeChange(change)} <code title="fingerprint">{change.fingerprint}</code></p>
    </li>
  );
}
