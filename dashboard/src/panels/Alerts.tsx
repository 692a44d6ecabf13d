// What somebody should look at, each with the way out. The live region is always there, so that a screen reader hears
// of what comes into it.
import { alerts } from "../alerts";
import type { Feed } from "../feed";

export function Alerts({ feed, now_ms }: { feed: Feed; now_ms: number }) {
  return (
    <div role="status" className="banners" data-testid="alerts">
      {alerts(feed, now_ms).map((alert) => (
        <div key={alert.id} className="banner" data-tone={alert.tone} data-testid={`alert-${alert.id}`}>
          <p><strong>{alert.title}</strong> {alert.detail}</p>
          {alert.way_out === "" ? null : <p className="way-out"><span>What to do</span> {alert.way_out}</p>}
        </div>
      ))}
    </div>
  );
}
