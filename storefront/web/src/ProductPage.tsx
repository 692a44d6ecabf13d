// One product, large, and what goes with it.
import type { Product } from "./api";
import { Buy } from "./Buy";
import type { Cart } from "./cart";
import { ProductCard } from "./Catalogue";
import { formatMoney } from "./money";
import { Picture } from "./Picture";
import { toHref } from "./route";
import { related } from "./search";

const ADVICE: Record<string, string> = {
  Coffee: "Sixty grams to a litre, water just off the boil. Grind it when you need it, and keep the bag closed and out of the fridge.",
  Tea: "Two grams to a cup. Green tea likes 75 °C, black tea and herbs like it boiling. Leaves may be infused a second time.",
  Brewing: "Rinse it with hot water before the first cup. Spare parts can be had for as long as we sell it.",
  Cups: "Fired twice, so that it takes the dishwasher. Small differences in the glaze are made by hand.",
  Sweets: "Keep it dry and cool. Goes with everything on the first shelf.",
};

type Props = { sku: string; products: readonly Product[]; cart: Cart; onAdd: (product: Product) => void };

export function ProductPage({ sku, products, cart, onAdd }: Props) {
  const product = products.find((one) => one.sku === sku);
  if (product === undefined)
    return (
      <section className="empty" data-testid="product-missing">
        <h1 tabIndex={-1}>We do not sell that</h1>
        <p>
          There is no product “{sku}” in the shop. <a href={toHref({ page: "home" })}>Look at what there is</a>
        </p>
      </section>
    );
  const others = related(products, product, 5);
  return (
    <>
      <article className="one-product">
        <Picture category={product.category} sku={product.sku} />
        <div>
          <p className="quiet">
            <a href={toHref({ page: "home" })}>Shop</a> / {product.category}
          </p>
          <h1 tabIndex={-1}>{product.name}</h1>
          <p>{product.description}</p>
          <p className="price">
            <strong data-testid="product-price">{formatMoney(product.price)}</strong>
          </p>
          <Buy product={product} inCart={cart.get(sku) ?? 0} onAdd={onAdd} />
          {product.stock === 0 && <p>There is nothing left of it. Have a look at its neighbours below.</p>}
          <p className="quiet">{ADVICE[product.category]}</p>
          <p className="quiet small">Article {product.sku}</p>
        </div>
      </article>
      {others.length > 0 && (
        <section aria-labelledby="related">
          <h2 id="related">From the same shelf</h2>
          <ul className="products">
            {others.map((other) => (
              <ProductCard key={other.sku} product={other} inCart={cart.get(other.sku) ?? 0} onAdd={onAdd} />
            ))}
          </ul>
        </section>
      )}
    </>
  );
}
