// The products, by category, with a search.
import { useState } from "react";
import type { Product } from "./api";
import type { Cart } from "./cart";
import { formatMoney } from "./money";
import { Picture } from "./Picture";

type Props = { products: readonly Product[]; cart: Cart; onAdd: (sku: string) => void };

function matches(product: Product, search: string, category: string): boolean {
  const text = `${product.name} ${product.description} ${product.sku}`.toLowerCase();
  return (category === "" || product.category === category) && text.includes(search.trim().toLowerCase());
}

export function Catalogue({ products, cart, onAdd }: Props) {
  const [search, setSearch] = useState("");
  const [category, setCategory] = useState("");
  const categories = [...new Set(products.map((product) => product.category))];
  const shown = products.filter((product) => matches(product, search, category));

  return (
    <section aria-labelledby="catalogue">
      <div className="bar">
        <h1 id="catalogue">What would you like?</h1>
        <label>
          <span className="hidden">Search</span>
          <input type="search" placeholder="Search" value={search} onChange={(event) => setSearch(event.target.value)} />
        </label>
        <div className="categories" role="group" aria-label="Categories">
          {["", ...categories].map((one) => (
            <button key={one} type="button" aria-pressed={one === category} onClick={() => setCategory(one)}>
              {one || "All"}
            </button>
          ))}
        </div>
      </div>
      {shown.length === 0 && <p className="quiet">Nothing here matches. Try another word or category.</p>}
      <ul className="products">
        {shown.map((product) => (
          <ProductCard key={product.sku} product={product} inCart={cart.get(product.sku) ?? 0} onAdd={onAdd} />
        ))}
      </ul>
    </section>
  );
}

function ProductCard({ product, inCart, onAdd }: { product: Product; inCart: number; onAdd: (sku: string) => void }) {
  return (
    <li className="product">
      <Picture category={product.category} sku={product.sku} />
      <h2>{product.name}</h2>
      <p className="quiet">{product.description}</p>
      <p className="buy">
        <strong>{formatMoney(product.price)}</strong>
        {product.stock === 0 ? (
          <span className="sold-out">Out of stock</span>
        ) : (
          <button
            type="button"
            data-testid={`add-${product.sku}`}
            aria-label={`Add ${product.name} to the cart`}
            onClick={() => onAdd(product.sku)}
          >
            {inCart > 0 ? `Add · ${inCart} in cart` : "Add"}
          </button>
        )}
      </p>
      {product.stock > 0 && product.stock < 10 && <p className="few">Only {product.stock} left</p>}
    </li>
  );
}
