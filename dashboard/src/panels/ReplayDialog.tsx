// Asks whether letters shall be replayed, and for the token that says who may. The token is kept nowhere.
import { useEffect, useRef, useState, type FormEvent } from "react";
import { formatCount, humanize } from "../format";

const ANSWER_TIMEOUT_MS = 10_000;

interface Wish {
  reason: string;
  letters: number;
}

// Null: it has begun. Else why not, in words.
async function askForReplay(wish: Wish, token: string): Promise<string | null> {
  try {
    const response = await fetch("api/dlq/replay", {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(wish),
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    if (response.ok) return null;
    const answer: unknown = await response.json().catch(() => null);
    return messageOf(answer) ?? `The agent answered ${response.status} ${response.statusText}.`;
  } catch {
    return "The agent cannot be reached.";
  }
}

export function messageOf(answer: unknown): string | null {
  const message = (answer as { error?: { message?: unknown } } | null)?.error?.message;
  return typeof message === "string" ? message : null;
}

export function ReplayDialog({ wish, close }: { wish: Wish; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [token, setToken] = useState("");
  const [refusal, setRefusal] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  // Modal: the page behind it is out of reach for keys and screen readers.
  useEffect(() => dialog.current?.showModal(), []);

  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    const why = await askForReplay(wish, token);
    setBusy(false);
    setRefusal(why);
    if (why === null) close();
  };
  const what = `${formatCount(wish.letters)} ${wish.letters === 1 ? "letter" : "letters"}`;
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="replay-title" data-testid="replay-dialog">
      <form onSubmit={(event) => void submit(event)}>
        <h2 id="replay-title">Replay {what} ({humanize(wish.reason)})?</h2>
        <p>
          Their messages go into their topics once more. Where a row has changed since, the change stays. Mend the cause first: what fails
          again becomes a new letter.
        </p>
        <label>
          Token <small>from the agent's replay_token_file</small>
          <input
            type="password" autoComplete="off" required value={token} data-testid="replay-token"
            onChange={(event) => setToken(event.target.value)}
          />
        </label>
        <p role="alert" className="refusal" data-testid="replay-refusal">{refusal}</p>
        <div className="actions">
          <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
          <button type="submit" className="main" disabled={busy} data-testid="replay-confirm">Replay {what}</button>
        </div>
      </form>
    </dialog>
  );
}
