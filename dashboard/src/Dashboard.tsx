// The whole page as a function of what is known and of the time: no state, no fetching, so that a test can draw any moment.
import { health, type Feed } from "./feed";
import { formatTime, timeZoneName } from "./format";
import { Alerts } from "./panels/Alerts";
import { DeadLetters } from "./panels/DeadLetters";
import { Header, StaleBanner } from "./panels/Header";
import { LatencyPanel } from "./panels/LatencyPanel";
import { LinePanel } from "./panels/LinePanel";
import { RecentOrders } from "./panels/RecentOrders";
import { RowCounts } from "./panels/RowCounts";
import { SchemaChanges } from "./panels/SchemaChanges";
import { ShopFigures } from "./panels/ShopFigures";
import { Snapshots } from "./panels/Snapshots";
import { TableStates } from "./panels/TableStates";
import { TopSkus } from "./panels/TopSkus";
import { Trade } from "./panels/Trade";

export function Dashboard({ feed, now_ms }: { feed: Feed; now_ms: number }) {
  const state = health(feed, now_ms);
  return (
    <div className="page" data-health={state.kind} data-testid="dashboard">
      <Header feed={feed} health={state} />
      <StaleBanner health={state} now_ms={now_ms} />
      <Alerts feed={feed} now_ms={now_ms} />
      <main>
        <TableStates feed={feed} now_ms={now_ms} />
        <LinePanel feed={feed} now_ms={now_ms} />
        <ShopFigures feed={feed} />
        <Trade feed={feed} now_ms={now_ms} />
        <RecentOrders feed={feed} now_ms={now_ms} />
        <LatencyPanel feed={feed} />
        <TopSkus feed={feed} />
        <RowCounts feed={feed} now_ms={now_ms} />
        <SchemaChanges feed={feed} />
        <Snapshots feed={feed} now_ms={now_ms} />
        <DeadLetters feed={feed} />
      </main>
      <footer>
        <p>
          Every figure is read from the warehouse through the agent, <a href="api/summary">as JSON here</a>. Times are{" "}
          {timeZoneName(now_ms)}
          {feed.summary === null ? "." : <>; last answer {formatTime(feed.summary.generated_at_ms)}.</>}
        </p>
      </footer>
    </div>
  );
}
