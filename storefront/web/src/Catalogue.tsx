// The products as a grid, by category, with a search.
import type { Product } from "./api";
import type { Cart } from "./cart";
import { Buy } from "./Buy";
import { formatMoney } from "./money";
import { Picture } from "./Picture";
import { toHref } from "./route";
import { countByCategory, everything, filterProducts, type Filter } from "./search";

type Props = {
  /** undefined: they are on their way. */
  products: readonly Product[] | undefined;
  cart: Cart;
  filter: Filter;
  onFilter: (filter: Filter) => void;
  onAdd: (product: Product) => void;
};

const SKELETONS = Array.from({ length: 12 }, (_, n) => n);

export function Catalogue({ products, cart, filter, onFilter, onAdd }: Props) {
  const known = products ?? [];
  const shown = filterProducts(known, filter);
  const counts = countByCategory(known, filter.search);
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);

  return (
    <section aria-labelledby="title">
      <div className="bar">
        <h1 id="title" tabIndex={-1}>
          What would you like?
        </h1>
        <label className="search">
          <span className="hidden">Search the shop</span>
          <input
            type="search"
            placeholder="Search"
            data-testid="search"
            value={filter.search}
            onChange={(event) => onFilter({ ...filter, search: event.target.value })}
          />
        </label>
        <div className="categories" role="group" aria-label="Categories">
          {[["", all] as const, ...counts].map(([category, count]) => (
            <button
              key={category}
              type="button"
              data-testid={`category-${category || "all"}`}
              aria-pressed={category === filter.category}
              onClick={() => onFilter({ ...filter, category })}
            >
              {category || "All"} <span className="count">{count}</span>
            </button>
          ))}
        </div>
      </div>
      <p className="hidden" role="status">
        {products && (shown.length === 1 ? "1 product" : `${shown.length} products`)}
      </p>
      {products?.length === 0 && (
        <p className="empty" data-testid="no-products">
          The shelves are empty: there is nothing to sell yet.
        </p>
      )}
      {known.length > 0 && shown.length === 0 && (
        <div className="empty" data-testid="no-match">
          <p>
            Nothing {filter.category && `in ${filter.category} `}matches “{filter.search}”.
          </p>
          <button type="button" onClick={() => onFilter(everything)}>
            Show everything
          </button>
        </div>
      )}
      <ul className="products">
        {products
          ? shown.map((product) => (
              <ProductCard key={product.sku} product={product} inCart={cart.get(product.sku) ?? 0} onAdd={onAdd} />
            ))
          : SKELETONS.map((n) => <li key={n} className="product skeleton" aria-hidden="true" />)}
      </ul>
    </section>
  );
}

type CardProps = { product: Product; inCart: number; onAdd: (product: Product) => void };

export function ProductCard({ product, inCart, onAdd }: CardProps) {
  return (
    <li className="product" data-testid={`product-${product.sku}`}>
      <a href={toHref({ page: "product", sku: product.sku })}>
        <Picture category={product.category} sku={product.sku} />
        <h2>{product.name}</h2>
      </a>
      <p className="quiet">{product.description}</p>
      <p className="buy">
        <strong>{formatMoney(product.price)}</strong>
        <Buy product={product} inCart={inCart} onAdd={onAdd} />
      </p>
    </li>
  );
}
