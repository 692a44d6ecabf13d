// uPlot, kept in step with React: made once per colour scheme, fed on every answer, resized with its box.
import { useEffect, useRef, useSyncExternalStore } from "react";
import uPlot from "uplot";
import type { OrdersMinute } from "../contract";
import { formatCount, formatMinute } from "../format";

const HEIGHT_PX = 220;

export function Chart({ minutes }: { minutes: OrdersMinute[] }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = useRef<uPlot.AlignedData>([[], [], []]);
  const dark = useSyncExternalStore(watchScheme, isDark, () => false);

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const made = new uPlot(options(element), data.current, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [dark]);

  useEffect(() => {
    data.current = toColumns(minutes);
    plot.current?.setData(data.current);
  }, [minutes]);

  return <div ref={box} style={{ minHeight: HEIGHT_PX }} />;
}

// Only here does money become a binary number: a height of a line needs no cents.
function toColumns(minutes: OrdersMinute[]): uPlot.AlignedData {
  return [
    minutes.map((minute) => minute.minute_ms / 1000),
    minutes.map((minute) => minute.orders),
    minutes.map((minute) => Number(minute.revenue)),
  ];
}

function options(element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element);
  const token = (name: string): string => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const axis: uPlot.Axis = { stroke: token("--ink-soft"), font, ticks: { show: false } };
  const bars = uPlot.paths.bars?.({ size: [0.7, 24], radius: 0.15 });
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      // Half a minute at either end, or the first and the last bar would be cut in two.
      x: { time: true, range: (_plot, min, max) => [min - 30, max + 30] },
      orders: { range: (_plot, _min, max) => [0, Math.max(4, max * 1.1)] },
      revenue: { range: (_plot, _min, max) => [0, Math.max(10, max * 1.1)] },
    },
    axes: [
      { ...axis, size: 32, grid: { show: false }, values: (_plot, ticks) => ticks.map((s) => formatMinute(s * 1000)) },
      {
        ...axis,
        scale: "orders",
        grid: { stroke: token("--rule"), width: 1 },
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000],
        values: (_plot, ticks) => ticks.map((n) => formatCount(n)),
      },
      {
        ...axis,
        scale: "revenue",
        side: 1,
        size: 64,
        grid: { show: false },
        values: (_plot, ticks) => ticks.map((n) => `$${formatCount(n)}`),
      },
    ],
    series: [
      { label: "Minute", value: (_plot, s) => (s == null ? "–" : formatMinute(s * 1000)) },
      {
        label: "Orders",
        scale: "orders",
        stroke: token("--accent"),
        fill: token("--accent"),
        width: 0,
        points: { show: false },
        value: (_plot, n) => (n == null ? "–" : formatCount(n)),
        ...(bars === undefined ? {} : { paths: bars }),
      },
      {
        label: "Revenue",
        scale: "revenue",
        stroke: token("--accent-2"),
        width: 2,
        points: { show: false },
        value: (_plot, n) => (n == null ? "–" : `$${formatCount(n)}`),
      },
    ],
  };
}

const darkQuery = "(prefers-color-scheme: dark)";

function watchScheme(changed: () => void): () => void {
  const query = window.matchMedia(darkQuery);
  query.addEventListener("change", changed);
  return () => query.removeEventListener("change", changed);
}

function isDark(): boolean {
  return window.matchMedia(darkQuery).matches;
}
