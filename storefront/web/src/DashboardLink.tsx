// To the dashboard, where the shop was told of one.
import { useEffect, useState, type ReactNode } from "react";
import { getDashboard } from "./api";

export function useDashboard(): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    let gone = false;
    // Without an answer there is no link, which is nothing to speak of.
    getDashboard().then((answer) => gone || setUrl(answer), () => undefined);
    return () => {
      gone = true;
    };
  }, []);
  return url;
}

export function DashboardLink({ url, children }: { url: string | undefined; children: ReactNode }) {
  return url === undefined ? (
    children
  ) : (
    <a href={url} target="_blank" rel="noreferrer" data-testid="dashboard-link">
      {children}
    </a>
  );
}
