// A drawing for each category; the sku picks its colour, so that two products of one category are told apart.
const SHAPES: Record<string, string> = {
  Coffee: "M30 14c9 0 15 8 15 18s-6 18-15 18-15-8-15-18 6-18 15-18zm2 3c-5 8-8 20-3 30M28 17c6 8 6 20 1 30",
  Tea: "M14 44C10 26 24 12 48 12 50 34 38 50 20 46zM18 46C26 34 34 26 44 18",
  Brewing: "M16 14h28l-6 20h-16zM24 34v6h12v-6M18 50h24M22 44h16",
  Cups: "M14 20h26v14a12 12 0 0 1-12 12h-2a12 12 0 0 1-12-12zM40 23h4a6 6 0 0 1 0 12h-4M12 50h32",
  Sweets: "M14 18h32v28h-32zM14 32h32M30 18v28",
};

function hue(sku: string): number {
  return [...sku].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
}

export function Picture({ category, sku }: { category: string; sku: string }) {
  return (
    <svg className="picture" viewBox="0 0 60 60" aria-hidden="true">
      <rect width="60" height="60" rx="6" fill={`hsl(${hue(sku)} 45% 88%)`} />
      <path d={SHAPES[category] ?? "M15 15h30v30h-30z"} fill="none" stroke={`hsl(${hue(sku)} 45% 32%)`} strokeWidth="2" />
    </svg>
  );
}
