// What changed from one schema of a table to the next, in words.
import type { SchemaChange } from "./contract";

const NAMES_MAX = 6;

function names(list: string[]): string {
  const shown = list.slice(0, NAMES_MAX).join(", ");
  return list.length > NAMES_MAX ? `${shown} and ${list.length - NAMES_MAX} more` : shown;
}

export function describeChange(change: SchemaChange): string {
  if (change.previous.length === 0) return `first schema, ${change.columns.length} columns`;
  const added = change.columns.filter((column) => !change.previous.includes(column));
  const gone = change.previous.filter((column) => !change.columns.includes(column));
  const parts = [
    ...(added.length > 0 ? [`added ${names(added)}`] : []),
    ...(gone.length > 0 ? [`no longer ${names(gone)}`] : []),
  ];
  return parts.length > 0 ? parts.join("; ") : "types or order of columns changed";
}
