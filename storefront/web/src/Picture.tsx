// A drawing of each product, made for this shop. Shapes are filled by role (style.css), so that they follow the light; the
// sku picks the hue, so that two bags of coffee are told apart.
import type { CSSProperties, ReactNode } from "react";

const bean = <path className="k" d="M60 56c7 0 11 6 11 12s-4 13-11 13-11-7-11-13 4-12 11-12zM58 58c5 7-3 13 2 21" />;
const leaf = <path className="d" d="M46 82C44 62 56 52 76 54c2 18-8 32-24 26M46 86c4-10 12-18 22-24" />;

function bag(mark: ReactNode): ReactNode {
  return (
    <>
      <path className="p" d="M37 30h46l4 70a4 4 0 0 1-4 4H37a4 4 0 0 1-4-4z" />
      <path className="d" d="M37 30l5-13h36l5 13z" />
      <rect className="c" x="42" y="46" width="36" height="44" rx="5" />
      {mark}
    </>
  );
}

function tin(mark: ReactNode): ReactNode {
  return (
    <>
      <rect className="m" x="34" y="32" width="52" height="72" rx="7" />
      <rect className="p" x="34" y="44" width="52" height="50" />
      <rect className="n" x="31" y="22" width="58" height="14" rx="5" />
      <rect className="c" x="42" y="50" width="36" height="38" rx="5" />
      {mark}
    </>
  );
}

function cup(x: number, y: number, size: number, saucer: boolean): ReactNode {
  return (
    <g transform={`translate(${x} ${y}) scale(${size})`}>
      {saucer && <ellipse className="d" cx="16" cy="29" rx="26" ry="5" />}
      <path className="line-p" d="M31 6h4a6 6 0 0 1 0 13h-5" />
      <path className="p" d="M0 0h32v13a15 15 0 0 1-15 15h-2A15 15 0 0 1 0 13z" />
      <ellipse className="k" cx="16" cy="1" rx="16" ry="4" />
    </g>
  );
}

function glass(x: number, y: number): ReactNode {
  return (
    <g transform={`translate(${x} ${y})`}>
      <path className="tea" d="M3 14h24l-3 28a4 4 0 0 1-4 4H10a4 4 0 0 1-4-4z" />
      <path className="glass" d="M0 0h30l-4 45a5 5 0 0 1-5 5H9a5 5 0 0 1-5-5z" />
    </g>
  );
}

const DRAWINGS: Record<string, ReactNode> = {
  "COF-HOU-1KG": (
    <>
      <path className="p" d="M28 34h64l4 66a5 5 0 0 1-5 5H29a5 5 0 0 1-5-5z" />
      <path className="d" d="M28 34l6-18h52l6 18zM22 26h76v8H22z" />
      <rect className="c" x="36" y="48" width="48" height="44" rx="6" />
      <g transform="translate(-13 1)">{bean}</g>
      <g transform="translate(13 1)">{bean}</g>
    </>
  ),
  "COF-INS-TIN": tin(bean),
  "TEA-DAR-050": tin(leaf),
  "TEA-MIN-050": tin(leaf),
  "BRW-V60-001": (
    <>
      <path className="line-p" d="M84 42c16-4 16 18-2 16" />
      <path className="p" d="M28 30h64L70 70H50z" />
      <path className="line-d" d="M44 36l12 28M60 36v28M76 36L64 64" />
      <rect className="d" x="36" y="68" width="48" height="7" rx="3" />
      <path className="tea" d="M43 88h34l3 12a4 4 0 0 1-4 4H44a4 4 0 0 1-4-4z" />
      <path className="glass" d="M46 75h28l8 25a5 5 0 0 1-5 5H43a5 5 0 0 1-5-5z" />
    </>
  ),
  "BRW-FIL-100": (
    <>
      <path className="w" d="M22 40h68L68 100H50z" />
      <path className="c" d="M28 32h68L74 94H56z" />
      <path className="line-n" d="M92 38L72 90M30 34h64" />
    </>
  ),
  "BRW-FRP-800": (
    <>
      <path className="line-n" d="M78 44h10a6 6 0 0 1 6 6v32a6 6 0 0 1-6 6H78M60 14v34" />
      <rect className="k" x="42" y="58" width="36" height="40" rx="3" />
      <rect className="glass" x="40" y="36" width="40" height="64" rx="5" />
      <rect className="n" x="38" y="32" width="44" height="8" rx="4" />
      <rect className="m" x="38" y="96" width="44" height="8" rx="3" />
      <rect className="m" x="38" y="64" width="44" height="5" />
      <circle className="n" cx="60" cy="14" r="6" />
    </>
  ),
  "BRW-MOK-003": (
    <>
      <path className="line-k" d="M80 38h12l-4 28h-8" />
      <path className="m" d="M42 34h38l-5 32H47zM40 72h40l7 28a4 4 0 0 1-4 4H37a4 4 0 0 1-4-4zM42 34l-9 8 9 6z" />
      <path className="n" d="M42 34l18-14 20 14zM44 66h34v7H44z" />
      <path className="line-n" d="M55 36l2 28M67 36l-2 28M54 76l-4 26M66 76l4 26" />
      <circle className="k" cx="60" cy="18" r="5" />
    </>
  ),
  "BRW-KET-100": (
    <>
      <path className="line-m" d="M36 90C14 88 26 54 12 42" />
      <path className="line-k" d="M82 52c24-6 26 38 6 38" />
      <path className="m" d="M38 54h44l8 44a6 6 0 0 1-6 6H36a6 6 0 0 1-6-6z" />
      <path className="n" d="M40 54c2-10 10-12 20-12s18 2 20 12zM31 94h58l1 6H30z" />
      <circle className="k" cx="60" cy="38" r="5" />
    </>
  ),
  "BRW-GRI-001": (
    <>
      <path className="line-n" d="M60 38V26h34" />
      <rect className="m" x="44" y="36" width="32" height="68" rx="7" />
      <rect className="p" x="44" y="56" width="32" height="20" />
      <rect className="n" x="42" y="34" width="36" height="8" rx="4" />
      <rect className="w" x="88" y="10" width="12" height="20" rx="6" />
    </>
  ),
  "BRW-SCA-002": (
    <>
      {cup(44, 38, 0.95, false)}
      <rect className="m" x="24" y="68" width="72" height="9" rx="4" />
      <rect className="n" x="18" y="76" width="84" height="28" rx="7" />
      <rect className="glow" x="42" y="82" width="36" height="16" rx="3" />
      <path className="line-k" d="M50 86v8M58 86h5v8h-5zM70 86v8" />
    </>
  ),
  "BRW-TEA-600": (
    <>
      <path className="line-d" d="M32 60C4 52 8 98 36 92" />
      <path className="p" d="M82 66l24-16 3 7-18 30zM26 76c0-20 14-28 34-28s34 8 34 28-14 28-34 28-34-8-34-28z" />
      <path className="d" d="M38 52c2-12 12-14 22-14s20 2 22 14z" />
      <circle className="d" cx="60" cy="35" r="5" />
    </>
  ),
  "CUP-ESP-002": <>{cup(18, 68, 1, false)}{cup(66, 68, 1, false)}</>,
  "CUP-CAP-002": <>{cup(46, 38, 1.15, true)}{cup(28, 66, 1.15, true)}</>,
  "CUP-MUG-350": (
    <>
      <path className="line-p" d="M80 46h10a8 8 0 0 1 8 8v18a8 8 0 0 1-8 8H80" />
      <path className="p" d="M30 30h52v64a10 10 0 0 1-10 10H40a10 10 0 0 1-10-10z" />
      <ellipse className="k" cx="56" cy="31" rx="26" ry="6" />
      <path className="d" d="M30 82h52v8H30z" />
    </>
  ),
  "CUP-TRV-400": (
    <>
      <path className="p" d="M38 32h44l-6 68a5 5 0 0 1-5 5H49a5 5 0 0 1-5-5z" />
      <path className="n" d="M36 22h48a3 3 0 0 1 3 3v9H33v-9a3 3 0 0 1 3-3zM50 14h12v8H50z" />
      <path className="d" d="M40 54h40l-2 22H42z" />
    </>
  ),
  "CUP-GLS-004": <>{glass(20, 34)}{glass(70, 34)}{glass(45, 54)}</>,
  "SWT-BIS-200": (
    <>
      <rect className="w" x="20" y="78" width="80" height="24" rx="12" />
      <rect className="biscuit" x="26" y="56" width="76" height="24" rx="12" transform="rotate(-6 64 68)" />
      <rect className="w" x="22" y="34" width="76" height="24" rx="12" transform="rotate(7 60 46)" />
      <path className="c" d="M36 44l10 2-8 4zM58 46l10 3-9 3zM78 50l9 3-8 3zM40 68l10-1-8 5zM64 66l10-2-8 6zM38 88l10 2-9 4zM62 88l9 3-8 3zM82 88l8 3-7 3z" />
    </>
  ),
  "SWT-CHO-100": (
    <>
      <rect className="k" x="34" y="14" width="52" height="80" rx="4" />
      <path className="line-w" d="M51 16v44M69 16v44M36 32h48M36 48h48" />
      <path className="p" d="M30 58l8-5 7 5 8-5 7 5 7-5 8 5 7-5 8 5v46H30z" />
      <rect className="c" x="40" y="70" width="40" height="22" rx="4" />
      <path className="line-d" d="M48 78h24M52 85h16" />
    </>
  ),
  "SWT-HON-250": (
    <>
      <rect className="honey" x="32" y="36" width="56" height="68" rx="12" />
      <rect className="w" x="36" y="18" width="48" height="18" rx="5" />
      <path className="c" d="M60 50l18 10v20L60 90 42 80V60z" />
      <path className="honey" d="M60 60l9 5v10l-9 5-9-5V65z" />
    </>
  ),
};

/** For a product that nobody has drawn yet: what its category comes in. */
const BY_CATEGORY: Record<string, ReactNode> = {
  Coffee: bag(bean),
  Tea: bag(leaf),
  Brewing: DRAWINGS["BRW-V60-001"],
  Cups: DRAWINGS["CUP-MUG-350"],
  Sweets: DRAWINGS["SWT-CHO-100"],
};

const PARCEL = <path className="w" d="M26 40l34-14 34 14v50l-34 14-34-14zM26 40l34 14 34-14M60 54v50" />;

/** Hues that go well beside each other, and products that have one by name. */
const HUES = [12, 32, 48, 96, 158, 190, 214, 262, 332];
const NAMED: Record<string, number> = { "CUP-MUG-350": 214 };

/** The numbers are those at which no two coffees and no two teas of the shop look the same. */
export function pickHue(sku: string): number {
  const sum = [...sku].reduce((hash, letter) => (hash * 80 + letter.charCodeAt(0)) % 9973, 15);
  return NAMED[sku] ?? HUES[sum % HUES.length] ?? 32;
}

/** Is there a drawing of this very product? */
export function isDrawn(sku: string): boolean {
  return sku in DRAWINGS;
}

export function Picture({ category, sku }: { category: string; sku: string }) {
  return (
    <svg className="picture" viewBox="0 0 120 120" aria-hidden="true" style={{ "--hue": pickHue(sku) } as CSSProperties}>
      <ellipse className="shade" cx="60" cy="105" rx="42" ry="5" />
      {DRAWINGS[sku] ?? BY_CATEGORY[category] ?? PARCEL}
    </svg>
  );
}
