// Each table on both sides. Two counts mean something together only when they are of one moment: the warehouse's is
// taken once it holds everything up to the source's LSN, and with it how many changes it has beyond that; both say how old
// they are.
import type { TableCounts } from "../contract";
import { ageAt, type Feed } from "../feed";
import { formatAge, formatCount, formatDifference } from "../format";
import { Empty, Panel, whyNothing } from "./Panel";

export function RowCounts({ feed, now_ms }: { feed: Feed; now_ms: number }) {
  const tables = feed.summary?.tables ?? [];
  return (
    <Panel title="Rows in Postgres and in the warehouse" area="counts" note="the warehouse counts when it has everything up to the LSN of Postgres">
      {tables.length === 0 ? (
        <Empty>
          {feed.summary === null ? whyNothing(feed, undefined) : "No table has come through the pipeline yet."}
        </Empty>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Rows per table">
          <table data-testid="row-counts">
            <thead>
              <tr>
                <th scope="col">Table</th>
                <th scope="col" className="number">Postgres</th>
                <th scope="col" className="number">Warehouse</th>
                <th scope="col" className="number">Difference</th>
                <th scope="col" className="number">Postgres counted</th>
                <th scope="col" className="number">Warehouse counted</th>
                <th scope="col" className="roomy">At LSN</th>
              </tr>
            </thead>
            <tbody>
              {tables.map((table) => (
                <TableRow key={`${table.schema}.${table.table}`} table={table} feed={feed} now_ms={now_ms} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function TableRow({ table, feed, now_ms }: { table: TableCounts; feed: Feed; now_ms: number }) {
  const name = `${table.schema}.${table.table}`;
  const estimated = table.exact === false && table.source_rows !== null;
  return (
    <tr data-testid={`table-row-${name}`}>
      <th scope="row">{table.schema === "public" ? table.table : name}</th>
      <td className="number" data-testid="source-rows" title={estimated ? "the planner's estimate, or counted while somebody committed" : undefined}>
        {estimated ? "≈ " : ""}
        {formatCount(table.source_rows)}
      </td>
      <td className="number" data-testid="warehouse-rows">{formatCount(table.warehouse_rows)}</td>
      <td className="number difference" data-testid="difference" data-tone={differenceTone(table)}>
        {describeDifference(table)}
      </td>
      <td className="number">{ago(ageAt(feed, table.source_taken_at_ms, now_ms))}</td>
      <td className="number">{ago(ageAt(feed, table.warehouse_measured_at_ms, now_ms))}</td>
      <td className="roomy"><code>{table.source_lsn ?? "–"}</code></td>
    </tr>
  );
}

function ago(age_ms: number | null): string {
  return age_ms === null ? "not yet" : `${formatAge(age_ms)} ago`;
}

// Null from the agent: the two counts are not of one moment, and comparing them would prove nothing.
export function describeDifference(table: TableCounts): string {
  const { difference, source_rows, warehouse_rows, warehouse_newer } = table;
  if (difference === null || source_rows === null || warehouse_rows === null) return "–";
  return formatDifference(source_rows, warehouse_rows, warehouse_newer ?? 0);
}

// What came since is no fault, and a difference against an estimate not one for certain.
export function differenceTone(table: TableCounts): "good" | "warn" | "bad" | undefined {
  if (table.difference === null) return undefined;
  if (Math.abs(table.difference) <= (table.warehouse_newer ?? 0)) return "good";
  return table.exact === false ? "warn" : "bad";
}
