// Money is a decimal text from the shop and whole cents here: never a floating-point number of dollars.

const MONEY = /^(\d{1,10})\.(\d{2})$/;

/** "12.50" → 1250; undefined for anything else. */
export function toCents(text: string): number | undefined {
  const match = MONEY.exec(text);
  return match ? Number(match[1]) * 100 + Number(match[2]) : undefined;
}

/** 123456 → "$1,234.56" */
export function formatCents(cents: number): string {
  const whole = Math.trunc(cents / 100).toLocaleString("en-US");
  return `$${whole}.${String(cents % 100).padStart(2, "0")}`;
}

/** "1234.50" → "$1,234.50"; a text that is no money stays as it is. */
export function formatMoney(text: string): string {
  const cents = toCents(text);
  return cents === undefined ? text : formatCents(cents);
}
