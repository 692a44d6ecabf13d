// A titled region that is honest about its content: figures, none yet, why none, or since when they are old.
import { useId, type ReactNode } from "react";
import type { QueryName, QueryRows } from "../contract";
import { isMissingTable, type Feed, type Known } from "../feed";
import { formatTime } from "../format";

interface PanelProps {
  title: string;
  area?: string | undefined; // its place in the page's grid
  note?: ReactNode | undefined;
  tool?: ReactNode | undefined; // what chooses or acts, at the title's end
  children: ReactNode;
}

export function Panel({ title, area, note, tool, children }: PanelProps) {
  const id = useId();
  return (
    <section className="panel" aria-labelledby={id} data-area={area}>
      <header>
        <h2 id={id}>{title}</h2>
        {note === undefined ? null : <p className="note">{note}</p>}
        {tool}
      </header>
      {children}
    </section>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}

interface QueryPanelProps<K extends QueryName> {
  title: string;
  feed: Feed;
  query: K;
  area?: string;
  empty: ReactNode; // shown when the warehouse has no such rows
  note?: ReactNode;
  children: (rows: QueryRows[K]) => ReactNode;
}

export function QueryPanel<K extends QueryName>({ title, feed, query, area, empty, note, children }: QueryPanelProps<K>) {
  const known = feed.queries[query] as Known<QueryRows[K]> | undefined;
  const error = feed.summary?.queries_errors.get(query);
  const isEmpty = known === undefined ? isMissingTable(error) : known.rows.length === 0;
  return (
    <Panel title={title} note={note} area={area}>
      {known === undefined && !isEmpty ? <Empty>{whyNothing(feed, error)}</Empty> : null}
      {isEmpty ? <Empty>{empty}</Empty> : null}
      {known !== undefined && !isEmpty ? children(known.rows) : null}
      {known !== undefined && error !== undefined ? (
        <p className="trouble">
          Not renewed since {formatTime(known.received_at_ms)}: {firstLine(error)}
        </p>
      ) : null}
    </Panel>
  );
}

export function whyNothing(feed: Feed, error: string | undefined): string {
  if (error !== undefined) return `The warehouse could not answer: ${firstLine(error)}`;
  if (feed.summary !== null) return "The agent has not asked the warehouse this question yet.";
  // Never "waiting" for ever: every request ends in an answer or, within its time limit, in a failure.
  return feed.failure === null ? "Waiting for the first answer." : "No figures have arrived.";
}

const ERROR_LENGTH_MAX = 240;

// ClickHouse's errors end in stack traces and version numbers.
export function firstLine(error: string): string {
  const line = error.split("\n", 1)[0] ?? "";
  return line.length > ERROR_LENGTH_MAX ? `${line.slice(0, ERROR_LENGTH_MAX)}…` : line;
}

interface FigureProps {
  label: string;
  testid: string;
  value: string;
  detail?: ReactNode;
  tone?: "good" | "warn" | "bad" | undefined;
}

export function Figure({ label, testid, value, detail, tone }: FigureProps) {
  return (
    <div className="figure" data-tone={tone}>
      <dt>{label}</dt>
      <dd>
        <span className="value" data-testid={testid}>{value}</span>
        {detail === undefined ? null : <span className="detail">{detail}</span>}
      </dd>
    </div>
  );
}

export function reasonList(by_reason: Map<string, number>): [string, number][] {
  return [...by_reason].sort((a, b) => b[1] - a[1]);
}
