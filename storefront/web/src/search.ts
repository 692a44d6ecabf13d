// Which products are shown: those of the category that have every word of the search in their texts.
import type { Product } from "./api";

export type Filter = { search: string; category: string };

export const everything: Filter = { search: "", category: "" };

/** Letters without their marks, so that "creme" finds "Crème". */
function fold(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

export function filterProducts(products: readonly Product[], { search, category }: Filter): Product[] {
  const words = fold(search).split(/\s+/).filter(Boolean);
  return products.filter((product) => {
    const text = fold(`${product.name} ${product.description} ${product.category} ${product.sku}`);
    return (category === "" || product.category === category) && words.every((word) => text.includes(word));
  });
}

/** Categories in the order of the shop, with how many products of each match the search. */
export function countByCategory(products: readonly Product[], search: string): Map<string, number> {
  const counts = new Map(products.map((product) => [product.category, 0]));
  for (const { category } of filterProducts(products, { search, category: "" }))
    counts.set(category, (counts.get(category) ?? 0) + 1);
  return counts;
}

/** Up to `count` others of the same category, those behind the product first, that can be bought. */
export function related(products: readonly Product[], product: Product, count: number): Product[] {
  const same = products.filter((other) => other.category === product.category);
  const at = same.findIndex((other) => other.sku === product.sku);
  return [...same.slice(at + 1), ...same.slice(0, Math.max(at, 0))].filter((other) => other.stock > 0).slice(0, count);
}
