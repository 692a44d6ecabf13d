// What could not be loaded, by reason. Shown only when there is or was any: the count itself is among the line's figures.
import type { Feed } from "../feed";
import { formatCount } from "../format";
import { Panel, reasonList } from "./Panel";

export function DeadLetters({ feed }: { feed: Feed }) {
  const dlq = feed.summary?.dlq;
  if (dlq === undefined || dlq.count + dlq.replayed + dlq.discarded === 0) return null;
  return (
    <Panel title="Dead letters" note="messages that could not be loaded; they wait in the DLQ topic for walhouse-agent dlq">
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
      <p data-testid="dlq-resolved">{formatCount(dlq.replayed)} replayed, {formatCount(dlq.discarded)} discarded</p>
    </Panel>
  );
}
