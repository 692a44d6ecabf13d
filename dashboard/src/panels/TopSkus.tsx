// What sells, by revenue; the bar behind each row is its share of the best seller's.
import type { Feed } from "../feed";
import { formatCount, formatMoney } from "../format";
import { QueryPanel } from "./Panel";

export function TopSkus({ feed }: { feed: Feed }) {
  return (
    <QueryPanel area="skus" title="Top SKUs" note="by revenue" feed={feed} query="top_skus" empty="Nothing sold yet.">
      {(skus) => (
        <div className="scroll" tabIndex={0} role="region" aria-label="Top SKUs as a table">
          <table className="tops">
            <thead>
              <tr>
                <th scope="col">Product</th>
                <th scope="col" className="number">Units</th>
                <th scope="col" className="number">Revenue</th>
              </tr>
            </thead>
            <tbody>
              {skus.map((sku) => (
                <tr key={sku.sku} data-testid={`top-sku-${sku.sku}`}>
                  <th scope="row">
                    {sku.name === "" ? sku.sku : sku.name}
                    <small>{sku.sku}</small>
                    <span className="share" style={{ inlineSize: `${share(sku.revenue, skus[0]?.revenue)}%` }} />
                  </th>
                  <td className="number">{formatCount(sku.units)}</td>
                  <td className="number">{formatMoney(sku.revenue)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </QueryPanel>
  );
}

export function share(part: string, whole: string | undefined): number {
  const of = Number(whole ?? 0);
  return of > 0 ? Math.max(0, Math.min(100, (100 * Number(part)) / of)) : 0;
}
