// What could not be loaded, by reason, with samples. Shown only when there is or was any.
import type { Letter } from "../contract";
import type { Feed } from "../feed";
import { formatCount, formatMoment } from "../format";
import { Panel, reasonList } from "./Panel";

export function DeadLetters({ feed }: { feed: Feed }) {
  const dlq = feed.summary?.dlq;
  if (dlq === undefined || dlq.count + dlq.replayed + dlq.discarded === 0) return null;
  const letters = feed.summary?.dead_letters ?? [];
  return (
    <Panel title="Dead letters" area="letters" note="messages that could not be loaded; they wait in the DLQ topic for walhouse-agent dlq">
      <div className="letters">
        <div>
          <table>
            <thead>
              <tr><th scope="col">Reason</th><th scope="col" className="number">Waiting</th></tr>
            </thead>
            <tbody>
              {reasonList(dlq.by_reason).map(([reason, n]) => (
                <tr key={reason} data-testid={`dlq-reason-${reason}`}>
                  <th scope="row">{reason}</th>
                  <td className="number">{formatCount(n)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <p className="note" data-testid="dlq-resolved">{formatCount(dlq.replayed)} replayed, {formatCount(dlq.discarded)} discarded</p>
        </div>
        {letters.length === 0 ? null : <Samples letters={letters} />}
      </div>
    </Panel>
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
