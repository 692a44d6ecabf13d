import { describe, expect, it } from "vitest";
import { countByCategory, everything, filterProducts, related } from "./search";

const product = (sku: string, name: string, category: string, stock = 5) => ({ sku, name, description: "of the shop", category, price: "1.00", stock });
const products = [
  product("C1", "Ethiopia Guji", "Coffee"),
  product("C2", "Crème blend", "Coffee"),
  product("T1", "Earl Grey", "Tea"),
  product("C3", "Decaf Peru", "Coffee", 0),
  product("C4", "Kenya Nyeri", "Coffee"),
];
const skus = (list: readonly { sku: string }[]) => list.map((one) => one.sku);

describe("search", () => {
  it("finds every word, in any order, whatever the letters' case and marks", () => {
    expect(skus(filterProducts(products, { search: " blend CREME ", category: "" }))).toEqual(["C2"]);
    expect(skus(filterProducts(products, { search: "tea", category: "" }))).toEqual(["T1"]);
    expect(skus(filterProducts(products, { search: "c3", category: "" }))).toEqual(["C3"]);
    expect(filterProducts(products, { search: "blend peru", category: "" })).toEqual([]);
    expect(filterProducts(products, everything)).toEqual(products);
  });
  it("stays in the category", () => {
    expect(skus(filterProducts(products, { search: "shop", category: "Tea" }))).toEqual(["T1"]);
    expect([...countByCategory(products, "e")]).toEqual([["Coffee", 4], ["Tea", 1]]);
    expect([...countByCategory(products, "grey")]).toEqual([["Coffee", 0], ["Tea", 1]]);
  });
  it("shows neighbours that can be bought, going round", () => {
    expect(skus(related(products, products[1]!, 4))).toEqual(["C4", "C1"]);
    expect(skus(related(products, products[4]!, 1))).toEqual(["C1"]);
    expect(related(products, products[2]!, 4)).toEqual([]);
  });
});
