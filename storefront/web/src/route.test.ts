import { describe, expect, it } from "vitest";
import { parseRoute, toHref, type Route } from "./route";

const routes: Route[] = [
  { page: "home" },
  { page: "product", sku: "COF-ETH-250" },
  { page: "cart" },
  { page: "orders" },
  { page: "order", id: 1207 },
];

describe("addresses", () => {
  it.each(routes)("lead to the page that wrote them: %o", (route) => {
    expect(parseRoute(toHref(route))).toEqual(route);
  });
  it.each(["", "#", "#/"])("%o is the shop itself", (hash) => {
    expect(parseRoute(hash)).toEqual({ page: "home" });
  });
  it.each(["#/nothing", "#/product/", "#/product/a b", "#/product/A/B", "#/order/x", "#/order/0", "#/order/1e3", "#/cart/1"])("%o is no page", (hash) => {
    expect(parseRoute(hash)).toEqual({ page: "missing" });
  });
});
