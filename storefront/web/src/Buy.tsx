// The button that puts a product into the cart, and what is said where there is little or nothing left of it.
import type { Product } from "./api";
import { QUANTITY_MAX } from "./cart";

const FEW = 10;

export function stockText({ stock }: Product): string | undefined {
  if (stock === 0) return "Out of stock";
  return stock < FEW ? `Only ${stock} left` : undefined;
}

type Props = { product: Product; inCart: number; onAdd: (product: Product) => void };

export function Buy({ product, inCart, onAdd }: Props) {
  const few = stockText(product);
  const full = inCart >= Math.min(product.stock, QUANTITY_MAX);
  return (
    <span className="buy-button">
      {few && (
        <span className="few" data-testid={`stock-${product.sku}`}>
          {few}
        </span>
      )}
      {product.stock > 0 && (
        <button
          type="button"
          className="primary"
          data-testid={`add-${product.sku}`}
          disabled={full}
          onClick={() => onAdd(product)}
        >
          Add<span className="hidden"> {product.name}</span>
          {inCart > 0 && ` · ${inCart} in cart`}
        </button>
      )}
    </span>
  );
}
