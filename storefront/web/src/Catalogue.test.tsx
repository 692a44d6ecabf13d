import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import type { Product } from "./api";
import { emptyCart } from "./cart";
import { Catalogue } from "./Catalogue";
import { everything } from "./search";

const mug: Product = { sku: "CUP-MUG-350", name: "Mug", description: "Of clay.", category: "Cups", price: "14.00", stock: 3 };
const draw = (products: Product[] | undefined, search = "") =>
  renderToStaticMarkup(
    <Catalogue products={products} cart={emptyCart} filter={{ ...everything, search }} onFilter={() => undefined} onAdd={() => undefined} />,
  );

test("tells a shop that is opening from an empty one, and that from a search for nothing", () => {
  expect(draw(undefined)).toContain("skeleton");
  expect(draw(undefined)).not.toContain("no-products");
  expect(draw([])).toContain("The shelves are empty");
  expect(draw([])).not.toContain("no-match");
  expect(draw([mug], "kettle")).toContain("no-match");
  expect(draw([mug])).toContain("product-CUP-MUG-350");
});
