// Snapshots the publisher told of, the newest first: how far each is. Shown only when there was any.
import type { Snapshot } from "../contract";
import { ageAt, lineOf, type Feed } from "../feed";
import { formatAge, formatCount, humanize } from "../format";
import { Panel } from "./Panel";

const SHOWN_MAX = 6;

export function Snapshots({ feed, now_ms }: { feed: Feed; now_ms: number }) {
  const snapshots = lineOf(feed)?.snapshots ?? [];
  if (snapshots.length === 0) return null;
  return (
    <Panel title="Snapshots" area="snapshots" note="rows that were there before the stream told of them">
      <ul className="snapshots" data-testid="snapshots">
        {snapshots.slice(0, SHOWN_MAX).map((snapshot) => (
          <SnapshotView key={snapshot.id} snapshot={snapshot} age_ms={ageAt(feed, snapshot.sent_at_ms, now_ms)} />
        ))}
      </ul>
    </Panel>
  );
}

// Null: the whole is not known. An estimate may be too low, so only the end is 100 per cent.
export function share(snapshot: Snapshot): number | null {
  if (snapshot.state === "done") return 100;
  if (snapshot.rows_done === null || snapshot.estimated_rows === null || snapshot.estimated_rows <= 0) return null;
  return Math.min(99, Math.floor((100 * snapshot.rows_done) / snapshot.estimated_rows));
}

function SnapshotView({ snapshot, age_ms }: { snapshot: Snapshot; age_ms: number | null }) {
  const percent = share(snapshot);
  const name = `${snapshot.schema}.${snapshot.table}`;
  const tone = snapshot.state === "failed" ? "bad" : snapshot.state === "done" ? "good" : "warn";
  return (
    <li data-tone={tone} data-testid={`snapshot-${snapshot.id}`}>
      <p>
        <b>{name}</b> <small>{humanize(snapshot.reason ?? "")}</small>
        <span>{humanize(snapshot.state ?? "–")}{percent === null ? "" : `, ${percent} %`}</span>
      </p>
      {/* Without a value the bar would spin; a bar at its start says the same and rests. */}
      <progress max={100} value={percent ?? 0} aria-label={`Snapshot of ${name}`} />
      <p className="note">
        {formatCount(snapshot.rows_done)} rows{snapshot.estimated_rows === null ? "" : ` of about ${formatCount(snapshot.estimated_rows)}`}, as of{" "}
        {formatAge(age_ms)} ago{snapshot.error === null ? "" : `: ${snapshot.error}`}
      </p>
    </li>
  );
}
