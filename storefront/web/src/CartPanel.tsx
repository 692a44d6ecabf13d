// The cart and the way to the order.
import { useEffect, useRef, useState } from "react";
import type { Product } from "./api";
import { QUANTITY_MAX, totalCents, type Cart } from "./cart";
import { formatCents, formatMoney } from "./money";

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

export function CartPanel({ cart, products, name, busy, error, onName, onQuantity, onOrder }: Props) {
  const bySku = new Map(products.map((product) => [product.sku, product]));
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    // It opens at the top of the page, and may be opened from further down.
    panel.current?.scrollIntoView({ block: "nearest" });
    panel.current?.focus({ preventScroll: true });
  }, []);
  return (
    <section id="cart" ref={panel} tabIndex={-1} className="panel" aria-labelledby="cart-title">
      <h2 id="cart-title">Your cart</h2>
      {cart.size === 0 && <p className="quiet">It is empty. Add something below.</p>}
      <ul className="lines">
        {[...cart].map(([sku, quantity]) => {
          const product = bySku.get(sku);
          return (
            <li key={sku}>
              <span>{product?.name ?? sku}</span>
              <label>
                <span className="hidden">Quantity of {product?.name ?? sku}</span>
                <Quantity quantity={quantity} onChange={(next) => onQuantity(sku, next)} />
              </label>
              <span className="number">{product ? formatMoney(product.price) : "not sold any more"}</span>
              <button type="button" aria-label={`Remove ${product?.name ?? sku}`} onClick={() => onQuantity(sku, 0)}>
                ×
              </button>
            </li>
          );
        })}
      </ul>
      {cart.size > 0 && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            onOrder();
          }}
        >
          <label>
            Your name <input required maxLength={80} value={name} onChange={(event) => onName(event.target.value)} />
          </label>
          <p className="total">
            Together <strong data-testid="cart-total">{formatCents(totalCents(cart, products))}</strong>
          </p>
          <button type="submit" className="primary" data-testid="checkout" disabled={busy}>
            {busy ? "Placing your order …" : "Place order"}
          </button>
        </form>
      )}
      {error && (
        <p className="error" role="alert" data-testid="checkout-error">
          {error}
        </p>
      )}
    </section>
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
