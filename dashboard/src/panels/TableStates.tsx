// Tables that do not simply load, the gravest first: why, since when, and the way out. Shown only when there are any.
import type { TableState } from "../contract";
import { ageAt, agentOf, type Feed } from "../feed";
import { formatAge, humanize } from "../format";
import { Panel } from "./Panel";

export function TableStates({ feed, now_ms }: { feed: Feed; now_ms: number }) {
  const states = agentOf(feed)?.table_states ?? [];
  if (states.length === 0) return null;
  return (
    <Panel title="Tables that need attention" area="states" note="their messages wait in Kafka while they are stopped; the others go on">
      <div className="scroll" tabIndex={0} role="region" aria-label="States of tables">
        <table className="states" data-testid="table-states">
          <thead>
            <tr>
              <th scope="col">Table</th>
              <th scope="col">State</th>
              <th scope="col">Reason</th>
              <th scope="col">What to do</th>
            </tr>
          </thead>
          <tbody>
            {states.map((state) => (
              <StateRow key={`${state.table} ${state.code}`} state={state} age_ms={ageAt(feed, state.since_ms, now_ms)} />
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function StateRow({ state, age_ms }: { state: TableState; age_ms: number | null }) {
  return (
    <tr data-testid={`table-state-${state.table}`}>
      <th scope="row">{state.table}</th>
      <td>
        <span className="badge" data-tone={state.state === "stopped" ? "bad" : "warn"}>
          <b>{humanize(state.state)}</b>
        </span>{" "}
        <small>for {formatAge(age_ms)}</small>
      </td>
      <td className="prose">
        {state.reason} <small>({state.code})</small>
      </td>
      <td className="prose">{state.way_out}</td>
    </tr>
  );
}
