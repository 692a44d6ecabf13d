// What could not be loaded, by reason, with samples. Shown only when there is or was any.
import { useState } from "react";
import type { Letter, Replay } from "../contract";
import type { Feed } from "../feed";
import { formatCount, formatMoment, formatTime, humanize } from "../format";
import { Panel, reasonList } from "./Panel";
import { ReplayDialog } from "./ReplayDialog";

// Of these the letter holds nothing that could be sent again.
const NOT_REPLAYED = "too_large";

export function DeadLetters({ feed }: { feed: Feed }) {
  const [wished, setWished] = useState<string | null>(null);
  const dlq = feed.summary?.dlq;
  if (dlq === undefined || dlq.count + dlq.replayed + dlq.discarded === 0) return null;
  const letters = feed.summary?.dead_letters ?? [];
  const replay = feed.summary?.replay ?? null;
  const offered = replay?.offered === true;
  return (
    <Panel title="Dead letters" area="letters" note="messages that could not be loaded; they wait in the DLQ topic for walhouse-agent dlq">
      <div className="letters">
        <div>
          <table>
            <thead>
              <tr>
                <th scope="col">Reason</th>
                <th scope="col" className="number">Waiting</th>
                {offered ? <th scope="col"><span className="unseen">Action</span></th> : null}
              </tr>
            </thead>
            <tbody>
              {reasonList(dlq.by_reason).map(([reason, n]) => (
                <tr key={reason} data-testid={`dlq-reason-${humanize(reason)}`}>
                  <th scope="row">{humanize(reason)}</th>
                  <td className="number">{formatCount(n)}</td>
                  {offered ? (
                    <td>
                      {reason === NOT_REPLAYED ? null : (
                        <button type="button" disabled={replay.running} onClick={() => setWished(reason)} data-testid={`replay-${reason}`}>
                          Replay…
                        </button>
                      )}
                    </td>
                  ) : null}
                </tr>
              ))}
            </tbody>
          </table>
          <p className="note" data-testid="dlq-resolved">{formatCount(dlq.replayed)} replayed, {formatCount(dlq.discarded)} discarded</p>
          {replay === null ? null : <ReplayNews replay={replay} />}
        </div>
        {letters.length === 0 ? null : <Samples letters={letters} />}
      </div>
      {wished === null ? null : (
        <ReplayDialog wish={{ reason: wished, letters: Math.max(1, dlq.by_reason.get(wished) ?? 0) }} close={() => setWished(null)} />
      )}
    </Panel>
  );
}

function ReplayNews({ replay }: { replay: Replay }) {
  return (
    <p className="note" role="status" data-testid="replay-news">
      {replay.running ? "A replay is running." : replay.last === null ? "" : (
        <>
          {formatTime(replay.last.ended_at_ms)}: {replay.last.done ? "" : "not done: "}
          {replay.last.message}
        </>
      )}
    </p>
  );
}

function Samples({ letters }: { letters: Letter[] }) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="The newest dead letters">
      <table>
        <thead>
          <tr>
            <th scope="col">Newest</th><th scope="col">From</th><th scope="col">Key</th><th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {letters.map((letter) => (
            <tr key={`${letter.topic} ${letter.partition} ${letter.offset}`} data-testid={`letter-${letter.dlq_partition}-${letter.dlq_offset}`}>
              <th scope="row">{formatMoment(letter.time_ms)}</th>
              <td><code>{letter.topic} {letter.partition}:{letter.offset}</code></td>
              <td><code>{letter.key === "" ? "–" : letter.key}</code></td>
              <td className="prose">{letter.error}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
