import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isDrawn, pickHue } from "./Picture";

const skus = [...readFileSync("../schema.sql", "utf8").matchAll(/\('([A-Z]{3}-[A-Z0-9]{3}-[A-Z0-9]{3})'/g)].map((match) => match[1]!);

describe("pictures", () => {
  it("tell apart what comes in the same bag", () => {
    expect(skus).toHaveLength(30);
    for (const shelf of ["COF", "TEA"]) {
      const hues = skus.filter((sku) => sku.startsWith(shelf)).map(pickHue);
      expect(new Set(hues).size).toBe(hues.length);
    }
  });
  it("are drawn for everything that is no bag of coffee or tea", () => {
    expect(skus.filter((sku) => !/^(COF|TEA)-/.test(sku) && !isDrawn(sku))).toEqual([]);
  });
});
