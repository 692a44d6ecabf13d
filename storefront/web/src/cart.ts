// The cart: how many of which product. A plain value, so that it can be kept in the browser and tested.
import { toCents } from "./money";
import type { Product } from "./api";

export const QUANTITY_MAX = 99;
export const ITEMS_MAX = 50;

/** Quantity by sku, each 1 to QUANTITY_MAX, in the order they were first added. */
export type Cart = ReadonlyMap<string, number>;

export const emptyCart: Cart = new Map();

/** The cart with `quantity` of a product; 0 or less takes it out, more than allowed is cut. */
export function withQuantity(cart: Cart, sku: string, quantity: number): Cart {
  const changed = new Map(cart);
  const whole = Math.trunc(quantity);
  if (whole <= 0) changed.delete(sku);
  else if (changed.has(sku) || changed.size < ITEMS_MAX) changed.set(sku, Math.min(whole, QUANTITY_MAX));
  return changed;
}

export function withOneMore(cart: Cart, sku: string): Cart {
  return withQuantity(cart, sku, (cart.get(sku) ?? 0) + 1);
}

export function countItems(cart: Cart): number {
  return [...cart.values()].reduce((sum, quantity) => sum + quantity, 0);
}

/** What the cart costs at the products' prices; products that are not in the shop any more cost nothing. */
export function totalCents(cart: Cart, products: readonly Product[]): number {
  const prices = new Map(products.map((product) => [product.sku, toCents(product.price) ?? 0]));
  return [...cart].reduce((sum, [sku, quantity]) => sum + quantity * (prices.get(sku) ?? 0), 0);
}

/** How many there are of each product of which the cart holds more. */
export function shortages(cart: Cart, products: readonly Product[]): Map<string, number> {
  const stocks = new Map(products.map((product) => [product.sku, product.stock]));
  const short = [...cart].map(([sku, quantity]) => [sku, quantity, stocks.get(sku) ?? 0] as const);
  return new Map(short.filter(([, quantity, stock]) => quantity > stock).map(([sku, , stock]) => [sku, stock]));
}

export function toText(cart: Cart): string {
  return JSON.stringify([...cart]);
}

/** The cart that toText() wrote; whatever else is in the browser's store gives an empty one. */
export function fromText(text: string | null): Cart {
  let stored: unknown;
  try {
    stored = JSON.parse(text ?? "[]");
  } catch {
    return emptyCart;
  }
  if (!Array.isArray(stored)) return emptyCart;
  return stored.reduce<Cart>((cart, entry: unknown) => {
    if (!Array.isArray(entry) || typeof entry[0] !== "string" || !Number.isInteger(entry[1])) return cart;
    return withQuantity(cart, entry[0], entry[1] as number);
  }, emptyCart);
}
