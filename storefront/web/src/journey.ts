// How far an order has come, in words and milliseconds. What the strip shows is decided here, so that it can be tested.

export type StationState = "passed" | "waiting" | "away" | "unknown";
export type Station = { state: StationState; us: number | null };
export type Journey = { postgres: Station; kafka: Station; warehouse: Station };
export type StationName = keyof Journey;

export const STATIONS: readonly StationName[] = ["postgres", "kafka", "warehouse"];

/** Asked often at first, as it takes a moment only; then less; then it is said that nobody looks any more. */
export const FAST_MS = 5_000;
export const GIVE_UP_MS = 60_000;

/** When to ask again, this long after the page was opened; undefined: not by itself. */
export function nextAsk(waited_ms: number): number | undefined {
  if (waited_ms >= GIVE_UP_MS) return undefined;
  return waited_ms < FAST_MS ? 150 : 1_000;
}

/** 860 → "0.9 ms", 41_300 → "41 ms", 2_340_000 → "2.3 s", 7_500_000_000 → "2.1 h" */
export function formatMicros(us: number): string {
  if (us < 9_950) return `${(us / 1000).toFixed(1)} ms`;
  if (us < 999_500) return `${Math.round(us / 1000)} ms`;
  if (us < 99_950_000) return `${(us / 1_000_000).toFixed(1)} s`;
  if (us < 5_400_000_000) return `${Math.round(us / 60_000_000)} min`;
  return `${(us / 3_600_000_000).toFixed(1)} h`;
}

export function isThere(journey: Journey | undefined): boolean {
  return journey !== undefined && STATIONS.every((name) => journey[name].state === "passed");
}

/** What stands below a station's name. */
export function describe(name: StationName, journey: Journey | undefined): string {
  if (journey === undefined) return "…";
  const { state, us } = journey[name];
  if (state === "passed") {
    if (us === null) return "yes";
    // The slot confirms in steps, so Kafka had the order at the latest then.
    return name === "kafka" ? `within ${formatMicros(us)}` : formatMicros(us);
  }
  if (state === "unknown") return "not watched by this shop";
  if (state === "waiting") return name === "kafka" ? "not confirmed yet" : "not yet";
  return name === "kafka" ? "the pipeline does not answer" : "it does not answer";
}

/** One sentence about the whole. */
export function summarize(journey: Journey | undefined, unreachable: boolean, gaveUp: boolean): string {
  if (unreachable) return "The shop does not answer just now, so nothing new is known here. Your order is safe in its database.";
  if (journey === undefined) return "Asking where your order is …";
  if (isThere(journey)) {
    const { us } = journey.warehouse;
    return us === null ? "Your order is in the warehouse." : `Your order is in the warehouse, ${formatMicros(us)} after it was committed.`;
  }
  const last = STATIONS.find((name) => journey[name].state !== "passed");
  if (STATIONS.every((name) => journey[name].state === "passed" || journey[name].state === "unknown"))
    return "Your order is safe in Postgres. This shop was not told where to look for the rest of its way.";
  if (journey.kafka.state === "away") return "Your order is safe in Postgres. The pipeline is away; it carries the order on when it is back.";
  if (journey.warehouse.state === "away") return "Your order is on its way. The warehouse does not answer; the order is loaded when it is back.";
  if (gaveUp)
    return last === "kafka"
      ? "Your order is safe in Postgres, and Kafka has not confirmed it in a minute. It is carried on by itself as soon as Kafka takes it."
      : "Your order is in Kafka, and has not been loaded in a minute. It is loaded by itself as soon as the agent comes to it.";
  return "Your order is on its way.";
}
