// Figures and times as people read them. Pure; the locale is fixed so that the page reads the same everywhere, the
// time zone is the reader's own and named on the page.

const LOCALE = "en-GB";
const UNKNOWN = "–";

const grouped = new Intl.NumberFormat(LOCALE);

export function formatCount(value: number | null): string {
  return value === null ? UNKNOWN : grouped.format(value);
}

// Decimal text to decimal text with grouped digits, never by way of a floating point number. The shop has one currency.
export function formatMoney(value: string | null): string {
  if (value === null) return UNKNOWN;
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(value);
  if (match === null) return value;
  const [, sign = "", whole = "0", fraction = ""] = match;
  const digits = whole.replace(/^0+(?=\d)/, "").replace(/\B(?=(\d{3})+$)/g, ",");
  return `${sign}$${digits}.${fraction.padEnd(2, "0")}`;
}

// In words, because a sign would leave open which side is meant.
// newer: changes that came to the warehouse and that the source had not counted yet. What they explain is no fault.
export function formatDifference(source_rows: number, warehouse_rows: number, newer: number): string {
  if (source_rows === warehouse_rows) return "equal";
  if (Math.abs(warehouse_rows - source_rows) <= newer) {
    return source_rows > warehouse_rows
      ? `${grouped.format(source_rows - warehouse_rows)} fewer since`
      : `${grouped.format(warehouse_rows - source_rows)} more since`;
  }
  return source_rows > warehouse_rows
    ? `${grouped.format(source_rows - warehouse_rows)} missing`
    : `${grouped.format(warehouse_rows - source_rows)} too many`;
}

export function formatMilliseconds(value: number | null): string {
  if (value === null) return UNKNOWN;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  return formatAge(value);
}

// Rounded down: an age must not look younger by rounding than the next unit would have it.
export function formatAge(ms: number | null): string {
  if (ms === null) return UNKNOWN;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return twoUnits(minutes, "min", seconds % 60, "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return twoUnits(hours, "h", minutes % 60, "min");
  return twoUnits(Math.floor(hours / 24), "d", hours % 24, "h");
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

export function formatTime(ms: number, timeZone?: string): string {
  return new Intl.DateTimeFormat(LOCALE, {
    hour: "2-digit", minute: "2-digit", second: "2-digit", ...(timeZone === undefined ? {} : { timeZone }),
  }).format(ms);
}

export function formatMinute(ms: number, timeZone?: string): string {
  return new Intl.DateTimeFormat(LOCALE, {
    hour: "2-digit", minute: "2-digit", ...(timeZone === undefined ? {} : { timeZone }),
  }).format(ms);
}

// "Europe/Berlin (GMT+2)": times on the page mean nothing without it.
export function timeZoneName(nowMs: number): string {
  const format = new Intl.DateTimeFormat(LOCALE, { timeZoneName: "short" });
  const short = format.formatToParts(nowMs).find((part) => part.type === "timeZoneName")?.value ?? "";
  const zone = format.resolvedOptions().timeZone;
  return zone === short ? zone : `${zone} (${short})`;
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function formatBytes(value: number | null): string {
  if (value === null) return UNKNOWN;
  let rest = value;
  let unit = 0;
  while (rest >= 1024 && unit < BYTE_UNITS.length - 1) {
    rest /= 1024;
    unit++;
  }
  return `${rest < 10 && unit > 0 ? rest.toFixed(1) : grouped.format(Math.round(rest))} ${BYTE_UNITS[unit]}`;
}

// Per second. Below ten a figure that rests at 0 would hide that something moves.
export function formatRate(value: number | null, unit: string): string {
  if (value === null) return UNKNOWN;
  return `${value > 0 && value < 10 ? value.toFixed(1) : grouped.format(Math.round(value))} ${unit}/s`;
}

// With the day, for what may be of another one.
export function formatMoment(ms: number, timeZone?: string): string {
  return new Intl.DateTimeFormat(LOCALE, {
    day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
    ...(timeZone === undefined ? {} : { timeZone }),
  }).format(ms);
}

// snake_case of the wire, as words.
export function humanize(name: string): string {
  return name.replace(/[_-]+/g, " ");
}
