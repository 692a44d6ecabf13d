// Starts and stops simulated shoppers, and says how they do. Somebody else, or a command line, may have started them.
import { useCallback, useEffect, useState } from "react";
import { getBusyDay, setBusyDay, toMessage, type BusyDay } from "./api";

const RUNNING_MS = 1_000;
const QUIET_MS = 10_000;

export function formatLeft(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function useBusyDay() {
  const [day, setDay] = useState<BusyDay>();
  const [error, setError] = useState<string>();
  const [round, setRound] = useState(0);

  const take = useCallback((answer: Promise<BusyDay>) => {
    return answer.then(
      (next) => {
        setDay(next);
        setError(undefined);
        return next;
      },
      (problem: unknown) => {
        setError(toMessage(problem));
        return undefined;
      },
    );
  }, []);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let gone = false;
    async function look() {
      const next = document.visibilityState === "visible" ? await take(getBusyDay()) : undefined;
      if (!gone) timer = setTimeout(() => void look(), next?.running ? RUNNING_MS : QUIET_MS);
    }
    void look();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [take, round]);

  // The next look comes at once, as the pace may have changed.
  const set = (running: boolean) => void take(setBusyDay(running)).then(() => setRound((n) => n + 1));
  return { day, error, set };
}

export function BusyDayPanel() {
  const { day, error, set } = useBusyDay();
  if (day?.rate_max === 0) return null;
  return (
    <section className="panel busy-day" aria-labelledby="busy-day">
      <div>
        <h2 id="busy-day">A busy day</h2>
        <p className="quiet small" data-testid="busy-day-state">
          {error ?? (day ? describeDay(day) : "Asking how busy the shop is …")}
        </p>
      </div>
      <button
        type="button"
        data-testid="busy-day"
        className={day?.running ? "primary" : undefined}
        disabled={day === undefined}
        onClick={() => set(!day?.running)}
      >
        {day?.running ? "Stop the shoppers" : "Let shoppers in"}
      </button>
    </section>
  );
}

export function describeDay(day: BusyDay): string {
  const placed = `${day.placed.toLocaleString("en-US")} ${day.placed === 1 ? "order" : "orders"} placed`;
  const trouble = [
    ...(day.sold_out > 0 ? [`${day.sold_out.toLocaleString("en-US")} found shelves empty`] : []),
    ...(day.failed > 0 ? [`${day.failed.toLocaleString("en-US")} were not served`] : []),
  ];
  const counts = [placed, ...trouble].join(", ");
  if (day.running) return `${day.rate} orders a second from simulated shoppers: ${counts}. They leave in ${formatLeft(day.ends_in_s)}.`;
  return day.rate > 0 ? `It is quiet again: ${counts}.` : "Simulated shoppers place orders for ten minutes, or until you stop them.";
}
