// How the page hears of the agent: by server-sent events, and while those do not come by asking once a second. Whatever
// happens becomes a feed event; nothing throws, nothing waits without bound.
import { useEffect, useReducer, useState } from "react";
import { advance, openFeed, type Feed, type FeedEvent } from "./feed";

export const POLL_INTERVAL_MS = 1_000;
export const ANSWER_TIMEOUT_MS = 4_000;
// The agent sends once a second; a stream that is silent for longer is no stream.
export const STREAM_SILENT_MS = 4_000;
// A browser gives up a stream that was refused (there are too many viewers): it is tried again.
export const STREAM_RETRY_MS = 15_000;

type Tell = (event: FeedEvent) => void;

// What it needs of the browser, so that a test can stand in for it.
export interface World {
  openStream: (url: string) => EventSource;
  ask: (url: string, signal: AbortSignal) => Promise<FeedEvent>;
}

// Returns what ends it.
export function follow(summaryUrl: string, eventsUrl: string, tell: Tell, world: World = browser): () => void {
  const polling = new Switch((signal) => void poll(summaryUrl, tell, signal, world));
  let stream: EventSource | null = null;
  let watchdog: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;

  const giveUp = (): void => {
    clearTimeout(watchdog);
    stream?.close();
    stream = null;
    polling.on();
    clearTimeout(retry);
    retry = setTimeout(open, STREAM_RETRY_MS);
  };
  const watch = (): void => {
    clearTimeout(watchdog);
    watchdog = setTimeout(giveUp, STREAM_SILENT_MS);
  };
  const open = (): void => {
    const opened = world.openStream(eventsUrl);
    stream = opened;
    opened.onmessage = (message: MessageEvent<string>) => {
      if (stream !== opened) return;
      polling.off();
      watch();
      tell(read(message.data));
    };
    // It says no why; asking does. A stream that was only interrupted comes back by itself before the watchdog acts.
    opened.onerror = () => {
      if (stream === opened) polling.on();
    };
    watch();
  };
  open();
  return () => {
    clearTimeout(watchdog);
    clearTimeout(retry);
    stream?.close();
    stream = null;
    polling.off();
  };
}

// Something that runs until it is aborted, once at a time.
class Switch {
  #running: AbortController | null = null;
  #start: (signal: AbortSignal) => void;

  constructor(start: (signal: AbortSignal) => void) {
    this.#start = start;
  }

  on(): void {
    if (this.#running !== null) return;
    this.#running = new AbortController();
    this.#start(this.#running.signal);
  }

  off(): void {
    this.#running?.abort();
    this.#running = null;
  }
}

async function poll(url: string, tell: Tell, signal: AbortSignal, world: World): Promise<void> {
  while (!signal.aborted) {
    const started_ms = Date.now();
    const event = await world.ask(url, signal);
    if (signal.aborted) return;
    tell(event);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, POLL_INTERVAL_MS - (Date.now() - started_ms))));
  }
}

function read(data: string): FeedEvent {
  try {
    return { kind: "answer", body: JSON.parse(data), now_ms: Date.now() };
  } catch {
    return failure("The agent's answer is not JSON.");
  }
}

async function ask(url: string, signal: AbortSignal): Promise<FeedEvent> {
  try {
    const response = await fetch(url, {
      cache: "no-store",
      headers: { Accept: "application/json" },
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
    });
    // With an error of its own the agent still says how it is.
    if (!response.ok && response.status !== 503) return failure(`The agent answered ${response.status} ${response.statusText}.`);
    return { kind: "answer", body: await response.json(), now_ms: Date.now() };
  } catch (error) {
    if (error instanceof SyntaxError) return failure("The agent's answer is not JSON.");
    if (error instanceof DOMException && error.name === "TimeoutError") {
      return failure(`The agent did not answer within ${ANSWER_TIMEOUT_MS / 1000} s.`);
    }
    return failure("The agent cannot be reached.");
  }
}

function failure(message: string): FeedEvent {
  return { kind: "failure", message, now_ms: Date.now() };
}

const browser: World = { openStream: (url) => new EventSource(url), ask };

export function useFeed(summaryUrl: string, eventsUrl: string): Feed {
  const [feed, dispatch] = useReducer(advance, undefined, () => openFeed(Date.now()));
  useEffect(() => follow(summaryUrl, eventsUrl, dispatch), [summaryUrl, eventsUrl]);
  return feed;
}

// A clock of its own, so that ages grow and staleness shows even when no answer comes.
export function useNow(interval_ms: number): number {
  const [now_ms, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), interval_ms);
    return () => window.clearInterval(timer);
  }, [interval_ms]);
  return now_ms;
}
