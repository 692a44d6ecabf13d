// Which page of the shop is shown: the part of the address behind the #, so that links, reload and the back button work
// below any path that serves the shop.
import { useSyncExternalStore } from "react";

export type Route =
  | { page: "home" }
  | { page: "product"; sku: string }
  | { page: "cart" }
  | { page: "orders" }
  | { page: "order"; id: number }
  | { page: "missing" };

const SKU = /^[A-Za-z0-9_-]{1,32}$/;
const ORDER_ID = /^[1-9]\d{0,14}$/;

/** "#/product/COF-ETH-250" → that product's page; whatever names no page is "missing". */
export function parseRoute(hash: string): Route {
  const [first = "", second, ...rest] = hash.replace(/^#?\/?/, "").split("/");
  if (rest.length > 0) return { page: "missing" };
  if (second === undefined)
    return first === "" ? { page: "home" } : first === "cart" || first === "orders" ? { page: first } : { page: "missing" };
  if (first === "product" && SKU.test(second)) return { page: "product", sku: second };
  if (first === "order" && ORDER_ID.test(second)) return { page: "order", id: Number(second) };
  return { page: "missing" };
}

export function toHref(route: Route): string {
  switch (route.page) {
    case "home":
    case "missing":
      return "#/";
    case "product":
      return `#/product/${route.sku}`;
    case "order":
      return `#/order/${route.id}`;
    default:
      return `#/${route.page}`;
  }
}

export function goTo(route: Route): void {
  window.location.hash = toHref(route);
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

/** The address itself, so that what depends on the page sees every change of it. */
export function useHash(): string {
  return useSyncExternalStore(subscribe, () => window.location.hash);
}
