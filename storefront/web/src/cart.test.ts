import { describe, expect, it } from "vitest";
import { countItems, emptyCart, fromText, shortages, toText, totalCents, withOneMore, withQuantity } from "./cart";
import { formatCents, formatMoney, toCents } from "./money";

const product = (sku: string, price: string) => ({ sku, name: sku, description: "", category: "", price, stock: 5 });

describe("cart", () => {
  it("counts up, sets, takes out and cuts", () => {
    const one = withOneMore(withOneMore(emptyCart, "A"), "A");
    expect(one.get("A")).toBe(2);
    expect(withQuantity(one, "A", 0).size).toBe(0);
    expect(withQuantity(one, "A", 0.5).size).toBe(0);
    expect(withQuantity(one, "A", 1000).get("A")).toBe(99);
    expect(countItems(withQuantity(one, "B", 3))).toBe(5);
    expect(emptyCart.size).toBe(0);
  });
  it("holds at most 50 products", () => {
    let cart = emptyCart;
    for (let n = 0; n < 60; n++) cart = withOneMore(cart, `S${n}`);
    expect(cart.size).toBe(50);
  });
  it("survives being written and read", () => {
    const cart = withQuantity(withOneMore(emptyCart, "A"), "B", 7);
    expect([...fromText(toText(cart))]).toEqual([["A", 1], ["B", 7]]);
  });
  it.each([null, "", "{", "{}", "[1]", '[["A"]]', '[["A","2"]]', '[["A",1.5]]', '[["A",-1]]'])("reads %s as empty", (text) => {
    expect(fromText(text).size).toBe(0);
  });
  it("knows of what there is too little", () => {
    const cart = withQuantity(withQuantity(withQuantity(emptyCart, "A", 6), "B", 5), "GONE", 1);
    expect([...shortages(cart, [product("A", "1.00"), product("B", "1.00")])]).toEqual([["A", 5], ["GONE", 0]]);
  });
  it("adds up in cents", () => {
    const cart = withQuantity(withQuantity(emptyCart, "A", 3), "B", 1);
    expect(totalCents(cart, [product("A", "0.10"), product("B", "19.99")])).toBe(2029);
    expect(totalCents(cart, [product("A", "0.10")])).toBe(30);
  });
});

describe("money", () => {
  it.each([["0.00", 0], ["12.50", 1250], ["1234567.89", 123456789]])("reads %s", (text, cents) => {
    expect(toCents(text)).toBe(cents);
  });
  it.each(["", "1", "1.5", "1.234", "-1.00", "1e5", "12,50"])("refuses %s", (text) => {
    expect(toCents(text)).toBeUndefined();
  });
  it("writes", () => {
    expect(formatCents(0)).toBe("$0.00");
    expect(formatCents(123456)).toBe("$1,234.56");
    expect(formatMoney("7.05")).toBe("$7.05");
    expect(formatMoney("?")).toBe("?");
  });
});
