// The cart, and the checkout below it.
import { useState } from "react";
import type { Product } from "./api";
import { QUANTITY_MAX, shortages, totalCents, type Cart } from "./cart";
import { formatCents, formatMoney, toCents } from "./money";
import { Picture } from "./Picture";
import { toHref } from "./route";

type Props = {
  cart: Cart;
  products: readonly Product[];
  name: string;
  busy: boolean;
  error: string | undefined;
  onName: (name: string) => void;
  onQuantity: (sku: string, quantity: number) => void;
  onOrder: () => void;
};

export function CartPage({ cart, products, name, busy, error, onName, onQuantity, onOrder }: Props) {
  const bySku = new Map(products.map((product) => [product.sku, product]));
  const short = shortages(cart, products);
  return (
    <section className="cart" aria-labelledby="title">
      <h1 id="title" tabIndex={-1}>
        Your cart
      </h1>
      {cart.size === 0 && (
        <p className="empty">
          It is empty. <a href={toHref({ page: "home" })}>Find something</a>
        </p>
      )}
      <ul className="lines">
        {[...cart].map(([sku, quantity]) => (
          <Line key={sku} sku={sku} product={bySku.get(sku)} quantity={quantity} short={short.get(sku)} onQuantity={onQuantity} />
        ))}
      </ul>
      {cart.size > 0 && (
        <form
          className="panel checkout"
          onSubmit={(event) => {
            event.preventDefault();
            onOrder();
          }}
        >
          <h2>Checkout</h2>
          <label>
            Your name
            <input
              required
              maxLength={80}
              autoComplete="name"
              value={name}
              data-testid="name"
              onChange={(event) => onName(event.target.value)}
            />
          </label>
          <p className="total">
            Together <strong data-testid="cart-total">{formatCents(totalCents(cart, products))}</strong>
          </p>
          <p className="quiet small">It is a demo: nothing is charged, and nothing is delivered.</p>
          {error && (
            <p className="error" role="alert" data-testid="checkout-error">
              {error}
            </p>
          )}
          <button type="submit" className="primary" data-testid="checkout" disabled={busy}>
            {busy ? "Placing your order …" : "Place order"}
          </button>
        </form>
      )}
    </section>
  );
}

type LineProps = {
  sku: string;
  product: Product | undefined;
  quantity: number;
  /** How many there are, where that is too few. */
  short: number | undefined;
  onQuantity: (sku: string, quantity: number) => void;
};

function Line({ sku, product, quantity, short, onQuantity }: LineProps) {
  const name = product?.name ?? sku;
  const cents = product && toCents(product.price);
  return (
    <li data-testid={`line-${sku}`}>
      <Picture category={product?.category ?? ""} sku={sku} />
      <span>
        <a href={toHref({ page: "product", sku })}>{name}</a>
        <span className="quiet small each">{product ? `${formatMoney(product.price)} each` : "not sold any more"}</span>
        {short !== undefined && (
          <span className="few">
            {short === 0 ? "Out of stock. " : `Only ${short} left. `}
            <button type="button" onClick={() => onQuantity(sku, short)}>
              {short === 0 ? `Remove ${name}` : `Take ${short}`}
            </button>
          </span>
        )}
      </span>
      <label>
        <span className="hidden">Quantity of {name}</span>
        <Quantity quantity={quantity} onChange={(next) => onQuantity(sku, next)} />
      </label>
      <span className="number">{cents === undefined ? "–" : formatCents(cents * quantity)}</span>
      <button type="button" aria-label={`Remove ${name} from the cart`} onClick={() => onQuantity(sku, 0)}>
        ×
      </button>
    </li>
  );
}

// A field that is empty for a moment, while another number is typed, takes nothing out of the cart.
function Quantity({ quantity, onChange }: { quantity: number; onChange: (quantity: number) => void }) {
  const [draft, setDraft] = useState<string>();
  return (
    <input
      type="number"
      min={1}
      max={QUANTITY_MAX}
      value={draft ?? quantity}
      onChange={(event) => {
        setDraft(event.target.value);
        if (Number(event.target.value) >= 1) onChange(Number(event.target.value));
      }}
      onBlur={() => setDraft(undefined)}
    />
  );
}
