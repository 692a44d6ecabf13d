// The shop: what it knows, and the page that the address names.
import { useCallback, useEffect, useRef, useState } from "react";
import { getOrders, getProducts, placeOrder, ShopError, toMessage, type Order, type Product } from "./api";
import { BusyDayPanel } from "./BusyDay";
import { countItems, emptyCart, fromText, toText, withOneMore, withQuantity, type Cart } from "./cart";
import { CartPage } from "./CartPage";
import { DashboardLink, useDashboard } from "./DashboardLink";
import { Catalogue } from "./Catalogue";
import { OrderPage, OrdersPage } from "./Orders";
import { ProductPage } from "./ProductPage";
import { goTo, parseRoute, toHref, useHash } from "./route";
import { everything } from "./search";
import { useStored } from "./stored";

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const SHOP_NAME = "Harbour Street Coffee & Tea";

const parseCustomer = (text: string | null) => (text !== null && UUID.test(text) ? text : newUuid());
const parseName = (text: string | null) => text ?? "Guest";
const same = (text: string) => text;

/** randomUUID() is there on secure origins only, and the demo is plain HTTP. */
function newUuid(): string {
  const hex = [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte, i) => (i === 6 ? (byte & 15) | 64 : i === 8 ? (byte & 63) | 128 : byte))
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** The shop speaks of skus, people of names. */
function explain(error: unknown, products: readonly Product[]): string {
  const message = toMessage(error);
  if (!(error instanceof ShopError) || error.sku === undefined) return message;
  const product = products.find((one) => one.sku === error.sku);
  return product ? message.replace(error.sku, product.name) : message;
}

/** What a screen reader and the window's title say of the page, and where the keyboard is after a change of it. */
function useArrival(hash: string, open: boolean): void {
  const first = useRef(hash);
  useEffect(() => {
    const heading = document.querySelector("main h1")?.textContent;
    document.title = heading && parseRoute(hash).page !== "home" ? `${heading} · ${SHOP_NAME}` : SHOP_NAME;
  }, [hash, open]);
  useEffect(() => {
    if (first.current === hash) return;
    first.current = "elsewhere";
    document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
    window.scrollTo({ top: 0 });
  }, [hash]);
}

function useShop(customer: string) {
  const [products, setProducts] = useState<Product[]>();
  const [orders, setOrders] = useState<Order[]>();
  const [error, setError] = useState<string>();

  const reload = useCallback(async () => {
    // Each stands alone: whoever cannot see earlier orders can still shop.
    const [nextProducts, nextOrders] = await Promise.allSettled([getProducts(), getOrders(customer)]);
    if (nextProducts.status === "fulfilled") setProducts(nextProducts.value);
    if (nextOrders.status === "fulfilled") setOrders(nextOrders.value);
    const failed = [nextProducts, nextOrders].find((one) => one.status === "rejected");
    setError(failed ? toMessage(failed.reason) : undefined);
  }, [customer]);

  useEffect(() => {
    void reload();
    // Others buy too: whoever comes back sees what is left by now.
    const look = () => document.visibilityState === "visible" && void reload();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [reload]);
  return { products, orders, error, reload };
}

export function Shop() {
  const hash = useHash();
  const route = parseRoute(hash);
  const [customer] = useStored("walhouse-customer", parseCustomer, same);
  const [name, setName] = useStored("walhouse-name", parseName, same);
  const [cart, setCart] = useStored("walhouse-cart", fromText, toText);
  const { products, orders, error, reload } = useShop(customer);
  const [filter, setFilter] = useState(everything);
  const dashboard = useDashboard();
  const [placed, setPlaced] = useState<Order>();
  const [orderError, setOrderError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [news, setNews] = useState("");
  // One id for one order: it changes with the cart, not with the tries.
  const [requestId, setRequestId] = useState(newUuid);
  useArrival(hash, products !== undefined);

  function changeCart(next: Cart) {
    setCart(next);
    setRequestId(newUuid());
    setOrderError(undefined);
  }

  function add(product: Product) {
    const next = withOneMore(cart, product.sku);
    changeCart(next);
    setNews(`${product.name} is in your cart, ${countItems(next)} together.`);
  }

  async function order() {
    setBusy(true);
    setOrderError(undefined);
    try {
      const answer = await placeOrder({ id: customer, name: name.trim() || "Guest" }, cart, requestId);
      setPlaced(answer);
      changeCart(emptyCart);
      goTo({ page: "order", id: answer.order_id });
    } catch (problem) {
      setOrderError(explain(problem, products ?? []));
    }
    setBusy(false);
    void reload();
  }

  const opening = !error && <p className="quiet">Opening the shop …</p>;

  function page() {
    switch (route.page) {
      case "home":
        return <Catalogue products={products} cart={cart} filter={filter} onFilter={setFilter} onAdd={add} />;
      case "product":
        return products ? <ProductPage sku={route.sku} products={products} cart={cart} onAdd={add} /> : opening;
      case "cart":
        return products ? (
          <CartPage
            cart={cart}
            products={products}
            name={name}
            busy={busy}
            error={orderError}
            onName={setName}
            onQuantity={(sku, quantity) => changeCart(withQuantity(cart, sku, quantity))}
            onOrder={() => void order()}
          />
        ) : (
          opening
        );
      case "orders":
        return <OrdersPage orders={orders} />;
      case "order": {
        const known = [placed, ...(orders ?? [])].find((one) => one?.order_id === route.id);
        return <OrderPage key={route.id} id={route.id} known={known} placedNow={placed?.order_id === route.id} dashboard={dashboard} />;
      }
      case "missing":
        return (
          <section className="empty">
            <h1 tabIndex={-1}>There is no such page</h1>
            <p>
              <a href={toHref({ page: "home" })}>To the shop</a>
            </p>
          </section>
        );
    }
  }

  return (
    <>
      <a className="skip" href="#main" onClick={(event) => skip(event)}>
        To the page
      </a>
      <header className="top">
        <a className="brand" href={toHref({ page: "home" })}>
          Harbour Street <span>Coffee &amp; Tea</span>
        </a>
        <nav aria-label="Shop">
          <a href={toHref({ page: "orders" })} aria-current={route.page === "orders" ? "page" : undefined} data-testid="orders-open">
            My orders
          </a>
          <a
            className="cart-link"
            href={toHref({ page: "cart" })}
            aria-current={route.page === "cart" ? "page" : undefined}
            data-testid="cart-open"
          >
            Cart <span className="count">{countItems(cart)}</span>
          </a>
        </nav>
      </header>
      <main id="main">
        {error && (
          <p className="panel error" role="alert" data-testid="load-error">
            {error}{" "}
            <button type="button" onClick={() => void reload()}>
              Try again
            </button>
          </p>
        )}
        {page()}
      </main>
      <p className="hidden" role="status">
        {news}
      </p>
      <footer>
        <BusyDayPanel />
        <p className="quiet small">
          A demo of Walhouse: what you order here is on the <DashboardLink url={dashboard}>operations dashboard</DashboardLink> a moment later.
          Nothing is delivered.
        </p>
      </footer>
    </>
  );
}

// The address stays that of the page.
function skip(event: { preventDefault: () => void }) {
  event.preventDefault();
  document.querySelector<HTMLElement>("main h1")?.focus();
}
