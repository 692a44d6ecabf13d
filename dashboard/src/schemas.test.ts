import { describe, expect, it } from "vitest";
import { describeChange } from "./schemas";

const change = (columns: string[], previous: string[]) =>
  describeChange({ database: "shop", view: "orders", fingerprint: "00", time_ms: 0, columns, previous });

describe("describeChange", () => {
  it("tells columns that came from those that went", () => {
    expect(change(["id", "note"], [])).toBe("first schema, 2 columns");
    expect(change(["id", "memo"], ["id", "note"])).toBe("added memo; no longer note");
    expect(change(["id"], ["id"])).toBe("types or order of columns changed");
  });
});
