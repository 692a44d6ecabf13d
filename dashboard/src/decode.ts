// Readers of untrusted JSON. Each takes a value and the path that leads to it, and returns it with its type or
// throws a ContractError that names the path, so that a malformed answer becomes one readable line on the page.

export class ContractError extends Error {
  constructor(path: string, expected: string, value: unknown) {
    super(`${path}: expected ${expected}, got ${describe(value)}`);
    this.name = "ContractError";
  }
}

export type Reader<T> = (value: unknown, path: string) => T;

const DESCRIPTION_LENGTH_MAX = 60;

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > DESCRIPTION_LENGTH_MAX ? `${text.slice(0, DESCRIPTION_LENGTH_MAX)}…` : text;
}

export const text: Reader<string> = (value, path) => {
  if (typeof value !== "string") throw new ContractError(path, "a string", value);
  return value;
};

export const boolean: Reader<boolean> = (value, path) => {
  if (typeof value !== "boolean") throw new ContractError(path, "true or false", value);
  return value;
};

// ClickHouse writes 64-bit integers bare or quoted, by its setting output_format_json_quote_64bit_integers: both are read.
export const integer: Reader<number> = (value, path) => {
  const number = typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isSafeInteger(number)) throw new ContractError(path, "an integer", value);
  return number;
};

export const count: Reader<number> = (value, path) => {
  const number = integer(value, path);
  if (number < 0) throw new ContractError(path, "a count", value);
  return number;
};

export const real: Reader<number> = (value, path) => {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new ContractError(path, "a number", value);
  return value;
};

// Money travels as decimal text: a binary floating point number would not be what was charged.
export const decimal: Reader<string> = (value, path) => {
  if (typeof value !== "string" || !/^-?\d+(\.\d+)?$/.test(value)) throw new ContractError(path, "a decimal string", value);
  return value;
};

// Null and absent mean the same: not known.
export function nullable<T>(reader: Reader<T>): Reader<T | null> {
  return (value, path) => (value === null || value === undefined ? null : reader(value, path));
}

export function list<T>(reader: Reader<T>): Reader<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new ContractError(path, "a list", value);
    return value.map((item, index) => reader(item, `${path}[${index}]`));
  };
}

export function dictionary<T>(reader: Reader<T>): Reader<Map<string, T>> {
  return (value, path) => {
    const result = new Map<string, T>();
    for (const [key, item] of Object.entries(asObject(value, path))) result.set(key, reader(item, `${path}.${key}`));
    return result;
  };
}

// Unknown members are ignored, so that an agent newer than the page can say more.
export function object<T>(readers: { [K in keyof T]: Reader<T[K]> }): Reader<T> {
  return (value, path) => {
    const source = asObject(value, path);
    const result: Partial<T> = {};
    for (const key in readers) result[key] = readers[key](source[key], `${path}.${key}`);
    return result as T;
  };
}

function asObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new ContractError(path, "an object", value);
  return value as Record<string, unknown>;
}
