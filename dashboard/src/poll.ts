// Asks the agent once a second and turns whatever happens into a feed event; never throws, never waits without bound.
import { useEffect, useReducer, useState } from "react";
import { advance, openFeed, type Feed, type FeedEvent } from "./feed";

export const POLL_INTERVAL_MS = 1_000;
const ANSWER_TIMEOUT_MS = 4_000;

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

export function useFeed(url: string): Feed {
  const [feed, dispatch] = useReducer(advance, undefined, () => openFeed(Date.now()));
  useEffect(() => {
    const stop = new AbortController();
    let timer: number | undefined;
    const turn = async (): Promise<void> => {
      const started_ms = Date.now();
      const event = await ask(url, stop.signal);
      if (stop.signal.aborted) return;
      dispatch(event);
      timer = window.setTimeout(turn, Math.max(0, POLL_INTERVAL_MS - (Date.now() - started_ms)));
    };
    void turn();
    return () => {
      stop.abort();
      window.clearTimeout(timer);
    };
  }, [url]);
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
