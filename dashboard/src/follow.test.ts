// The page's two ways to the agent, with a clock and a browser that the test moves.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { FeedEvent } from "./feed";
import { follow, STREAM_RETRY_MS, STREAM_SILENT_MS } from "./follow";

class FakeStream {
  onmessage: ((message: MessageEvent<string>) => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;
  close(): void { this.closed = true; }
  send(data: string): void { this.onmessage?.({ data } as MessageEvent<string>); }
}

let streams: FakeStream[];
let heard: FeedEvent[];
let asked: number;
let stop: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  streams = [];
  heard = [];
  asked = 0;
  stop = follow("summary", "events", (event) => heard.push(event), {
    openStream: () => {
      const stream = new FakeStream();
      streams.push(stream);
      return stream as unknown as EventSource;
    },
    ask: async () => ({ kind: "failure", message: `asked ${++asked}`, now_ms: Date.now() }),
  });
});

afterEach(() => {
  stop();
  vi.useRealTimers();
});

describe("follow", () => {
  it("does not ask while events come", async () => {
    for (let n = 0; n < 10; n++) {
      streams[0]?.send(`{"n": ${n}}`);
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(heard).toHaveLength(10);
    expect(asked).toBe(0);
  });

  it("asks once a second from the first error on, until events come again", async () => {
    streams[0]?.onerror?.();
    await vi.advanceTimersByTimeAsync(2500);
    expect(asked).toBe(3);
    streams[0]?.send("{}");
    await vi.advanceTimersByTimeAsync(2000);
    expect(asked).toBe(3);
    expect(heard.at(-1)?.kind).toBe("answer");
  });

  it("gives up a stream that is silent, asks instead, and tries a new one", async () => {
    await vi.advanceTimersByTimeAsync(STREAM_SILENT_MS + 10);
    expect(streams[0]?.closed).toBe(true);
    expect(asked).toBe(1);
    await vi.advanceTimersByTimeAsync(STREAM_RETRY_MS);
    expect(streams).toHaveLength(2);
    streams[0]?.send("{}");
    expect(heard.every((event) => event.kind === "failure")).toBe(true);
    streams[1]?.send("{}");
    expect(heard.at(-1)?.kind).toBe("answer");
  });

  it("calls what is no JSON a failure", () => {
    streams[0]?.send("<html>");
    expect(heard).toMatchObject([{ kind: "failure", message: "The agent's answer is not JSON." }]);
  });

  it("leaves nothing behind", async () => {
    streams[0]?.onerror?.();
    stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(streams[0]?.closed).toBe(true);
    expect(streams).toHaveLength(1);
    expect(asked).toBeLessThanOrEqual(1);
  });
});
