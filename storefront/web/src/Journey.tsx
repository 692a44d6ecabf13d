// "Your order on its way": the three stations, live.
import { useEffect, useState } from "react";
import { getJourney } from "./api";
import { describe, isThere, nextAsk, STATIONS, summarize, type Journey, type StationName } from "./journey";

const NAMES: Record<StationName, string> = { postgres: "Committed in Postgres", kafka: "In Kafka", warehouse: "In the warehouse" };

function useJourney(order: number, round: number) {
  const [journey, setJourney] = useState<Journey>();
  const [unreachable, setUnreachable] = useState(false);
  const [gaveUp, setGaveUp] = useState(false);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let gone = false;
    const began = performance.now();

    async function ask() {
      const answer = await getJourney(order).catch(() => undefined);
      if (gone) return;
      setUnreachable(answer === undefined);
      if (answer) setJourney(answer);
      const next = isThere(answer) ? undefined : nextAsk(performance.now() - began);
      if (next !== undefined) timer = setTimeout(() => void ask(), next);
      else setGaveUp(!isThere(answer));
    }

    setGaveUp(false);
    void ask();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [order, round]);
  return { journey, unreachable, gaveUp };
}

export function JourneyStrip({ order }: { order: number }) {
  const [round, setRound] = useState(0);
  const { journey, unreachable, gaveUp } = useJourney(order, round);
  return (
    <section className="panel journey" aria-labelledby="journey" data-testid="journey" data-there={isThere(journey)}>
      <h2 id="journey">Your order on its way</h2>
      <ol>
        {STATIONS.map((name) => {
          const state = journey?.[name].state ?? "waiting";
          return (
            <li key={name} data-testid={`station-${name}`} data-state={state}>
              <Mark state={state} />
              <strong>{NAMES[name]}</strong>
              <span className="took" data-testid={`took-${name}`}>
                {describe(name, journey)}
              </span>
            </li>
          );
        })}
      </ol>
      <p role="status" data-testid="journey-summary">
        {summarize(journey, unreachable, gaveUp)}
      </p>
      <p className="quiet small">
        The first time is how long placing the order took; the others count from its commit: until the pipeline confirmed it, and until
        the warehouse recorded it.
        {gaveUp && (
          <>
            {" "}
            <button type="button" data-testid="journey-again" onClick={() => setRound(round + 1)}>
              Look again
            </button>
          </>
        )}
      </p>
    </section>
  );
}

// The state by shape as well as by colour.
function Mark({ state }: { state: string }) {
  return (
    <svg className="mark" viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="12" cy="12" r="10" />
      {state === "passed" && <path d="M7 12.5l3.5 3.5L17 9" />}
      {state === "away" && <path d="M12 6.5v7M12 17v.5" />}
      {state === "unknown" && <path d="M8 12h8" />}
    </svg>
  );
}
