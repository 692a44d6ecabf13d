// uPlot, kept in step with React: made once per shape and colour scheme, fed on every answer, resized with its box.
import { useEffect, useRef, useSyncExternalStore } from "react";
import uPlot from "uplot";
import { formatMinute } from "../format";

export interface ChartSeries {
  label: string;
  color: string; // a token, as --accent
  scale: string;
  kind: "bars" | "line" | "area";
  gaps?: boolean; // there may be times without a value
  format: (value: number) => string;
}

export interface ChartScale {
  name: string;
  side: "left" | "right" | "none"; // none: no axis of its own
  floor: number; // the greatest value shown is at least this
  logarithmic?: boolean;
  whole?: boolean; // ticks at whole numbers only
  format: (value: number) => string;
}

export interface ChartShape {
  series: ChartSeries[];
  scales: ChartScale[];
  bucket_ms: number;
  height: number;
}

interface ChartProps {
  shape: ChartShape; // constant for a key
  times_ms: number[];
  values: (number | null)[][];
}

const WHOLE_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000];
const LEGEND_PX = 28;

export function Chart({ shape, times_ms, values }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = useRef<uPlot.AlignedData>([[]]);
  const dark = useSyncExternalStore(watchScheme, isDark, () => false);
  data.current = [times_ms.map((ms) => ms / 1000), ...values];

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const made = new uPlot(options(element, shape), data.current, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: shape.height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [dark, shape]);

  useEffect(() => {
    plot.current?.setData(data.current);
  }, [times_ms, values]);

  return <div ref={box} style={{ minHeight: shape.height + LEGEND_PX }} />;
}

function options(element: HTMLElement, shape: ChartShape): uPlot.Options {
  const style = getComputedStyle(element);
  const token = (name: string): string => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const axis: uPlot.Axis = { stroke: token("--ink-soft"), font, ticks: { show: false } };
  const half_s = shape.bucket_ms / 2000;
  return {
    width: element.clientWidth,
    height: shape.height,
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      // Half a bucket at either end, or the first and the last bar would be cut in two.
      x: { time: true, range: (_plot, min, max) => [min - half_s, max + half_s] },
      ...Object.fromEntries(shape.scales.map((scale) => [scale.name, scaleOptions(scale)])),
    },
    axes: [
      { ...axis, size: 30, grid: { show: false }, values: (_plot, ticks) => ticks.map((s) => formatMinute(s * 1000)) },
      ...shape.scales.filter((scale) => scale.side !== "none").map((scale): uPlot.Axis => ({
        ...axis,
        scale: scale.name,
        side: scale.side === "left" ? 3 : 1,
        size: 58,
        grid: scale.side === "left" ? { stroke: token("--rule"), width: 1 } : { show: false },
        ...(scale.whole ? { incrs: WHOLE_STEPS } : {}),
        values: (_plot, ticks) => ticks.map((tick) => (tick == null ? "" : scale.format(tick))),
      })),
    ],
    series: [
      { label: "Time", value: (_plot, s) => (s == null ? "–" : formatMinute(s * 1000)) },
      ...shape.series.map((series) => seriesOptions(series, token(series.color))),
    ],
  };
}

function scaleOptions(scale: ChartScale): uPlot.Scale {
  if (scale.logarithmic) {
    return {
      distr: 3,
      range: (_plot, min, max) => [
        10 ** Math.floor(Math.log10(Math.max(1, min ?? 1))), 10 ** Math.ceil(Math.log10(Math.max(scale.floor, max ?? 1))),
      ],
    };
  }
  return { range: (_plot, _min, max) => [0, Math.max(scale.floor, (max ?? 0) * 1.1)] };
}

function seriesOptions(series: ChartSeries, color: string): uPlot.Series {
  const bars = uPlot.paths.bars?.({ size: [0.7, 28], radius: 0.2 });
  return {
    label: series.label,
    scale: series.scale,
    stroke: color,
    // A value without neighbours would be no line.
    points: { show: series.kind !== "bars" && series.gaps === true, size: 4 },
    spanGaps: series.gaps === true,
    value: (_plot, n) => (n == null ? "–" : series.format(n)),
    ...(series.kind === "bars" ? { fill: color, width: 0, ...(bars === undefined ? {} : { paths: bars }) } : { width: 2 }),
    ...(series.kind === "area" ? { fill: `${color}22` } : {}),
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
