// The shop: catalogue, cart, the order that was placed, the customer's orders.
import { useCallback, useEffect, useMemo, useState } from "react";
import { getOrders, getProducts, placeOrder, ShopError, type Order, type Product } from "./api";
import { countItems, emptyCart, fromText, toText, withOneMore, withQuantity, type Cart } from "./cart";
import { CartPanel } from "./CartPanel";
import { Catalogue } from "./Catalogue";
import { OrderList, OrderPlaced } from "./Orders";
import { useStored } from "./stored";

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/;

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

function toMessage(error: unknown): string {
  return error instanceof ShopError ? error.message : "Something went wrong on this page. Please reload it.";
}

export function Shop() {
  const [products, setProducts] = useState<Product[]>();
  const [orders, setOrders] = useState<Order[]>([]);
  const [loadError, setLoadError] = useState<string>();
  const [orderError, setOrderError] = useState<string>();
  const [placed, setPlaced] = useState<Order>();
  const [busy, setBusy] = useState(false);
  const [cartOpen, setCartOpen] = useState(false);
  const [cart, setCart] = useStored("walhouse-cart", fromText, toText);
  const [customer] = useStored("walhouse-customer", parseCustomer, same);
  // One id for one order: it changes with the cart, not with the tries.
  const [requestId, setRequestId] = useState(newUuid);
  const [name, setName] = useStored("walhouse-name", parseName, same);

  const reload = useCallback(async () => {
    // Each stands alone: whoever cannot see earlier orders can still shop.
    const [nextProducts, nextOrders] = await Promise.allSettled([getProducts(), getOrders(customer)]);
    if (nextProducts.status === "fulfilled") setProducts(nextProducts.value);
    if (nextOrders.status === "fulfilled") setOrders(nextOrders.value);
    const failed = [nextProducts, nextOrders].find((one) => one.status === "rejected");
    setLoadError(failed ? toMessage(failed.reason) : undefined);
  }, [customer]);

  useEffect(() => {
    void reload();
  }, [reload]);

  function changeCart(next: Cart) {
    setCart(next);
    setRequestId(newUuid());
  }

  async function order() {
    setBusy(true);
    setOrderError(undefined);
    try {
      setPlaced(await placeOrder({ id: customer, name: name.trim() || "Guest" }, cart, requestId));
      changeCart(emptyCart);
      setCartOpen(false);
      window.scrollTo({ top: 0 });
    } catch (error) {
      setOrderError(toMessage(error));
    }
    setBusy(false);
    void reload();
  }

  const known = useMemo(() => products ?? [], [products]);
  return (
    <>
      <header className="top">
        <a className="brand" href="./">
          Harbour Street <span>Coffee &amp; Tea</span>
        </a>
        <button
          type="button"
          data-testid="cart-open"
          aria-expanded={cartOpen}
          aria-controls="cart"
          onClick={() => setCartOpen(!cartOpen)}
        >
          Cart · {countItems(cart)}
        </button>
      </header>
      <main>
        <div aria-live="polite">{placed && <OrderPlaced order={placed} onClose={() => setPlaced(undefined)} />}</div>
        {cartOpen && (
          <CartPanel
            cart={cart}
            products={known}
            name={name}
            busy={busy}
            error={orderError}
            onName={setName}
            onQuantity={(sku, quantity) => changeCart(withQuantity(cart, sku, quantity))}
            onOrder={() => void order()}
          />
        )}
        {loadError && (
          <p className="error" role="alert" data-testid="load-error">
            {loadError}{" "}
            <button type="button" onClick={() => void reload()}>
              Try again
            </button>
          </p>
        )}
        {products === undefined && !loadError && <p className="quiet">Opening the shop …</p>}
        {products !== undefined && (
          <Catalogue products={products} cart={cart} onAdd={(sku) => changeCart(withOneMore(cart, sku))} />
        )}
        <OrderList orders={orders} />
      </main>
      <footer className="quiet">
        A demo of Walhouse: what you order here is on the operations dashboard a moment later. Nothing is delivered.
      </footer>
    </>
  );
}
