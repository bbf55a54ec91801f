/**
 * A soak as a picture: throughput, latency, memory and the disk over time, with marks where the node was killed
 * and bands where the disk was filled.
 * @module
 */
import type { Sample } from "./samples.ts";

/** What happened besides. Seconds from the begin of the load. */
export interface Marks {
  readonly title: string;
  readonly kills: readonly number[];
  readonly phases: readonly { readonly from: number; readonly to: number }[];
}

interface Line {
  readonly name: string;
  readonly colour: string;
  /** Undefined leaves a gap. */
  readonly of: (sample: Sample) => number | undefined;
}

interface Panel {
  readonly title: string;
  readonly log?: boolean;
  readonly lines: readonly Line[];
}

const [WIDTH, LEFT, RIGHT, TOP, HEIGHT, GAP] = [1200, 70, 150, 50, 150, 42];
const [BLUE, ORANGE, RED, GREEN, GREY] = ["#2563eb", "#d97706", "#dc2626", "#15803d", "#6b7280"];

/** Undefined while there was no node, or nothing to measure. */
const some = (value: number) => value > 0 ? value : undefined;

const PANELS: readonly Panel[] = [
  {
    title: "operations a second",
    lines: [
      { name: "all", colour: BLUE, of: ({ reads, writes }) => reads.rate + writes.rate },
      { name: "writes", colour: ORANGE, of: ({ writes }) => writes.rate },
    ],
  },
  {
    title: "reads, ms",
    log: true,
    lines: [
      { name: "p50", colour: GREEN, of: ({ reads }) => some(reads.p50) },
      { name: "p99", colour: ORANGE, of: ({ reads }) => some(reads.p99) },
      { name: "p99.9", colour: RED, of: ({ reads }) => some(reads.p999) },
    ],
  },
  {
    title: "writes, ms",
    log: true,
    lines: [
      { name: "p50", colour: GREEN, of: ({ writes }) => some(writes.p50) },
      { name: "p99", colour: ORANGE, of: ({ writes }) => some(writes.p99) },
      { name: "p99.9", colour: RED, of: ({ writes }) => some(writes.p999) },
    ],
  },
  {
    title: "memory, MiB",
    lines: [
      { name: "resident", colour: BLUE, of: ({ rss }) => some(rss) },
      { name: "heap", colour: ORANGE, of: ({ heap }) => some(heap) },
      { name: "external", colour: GREEN, of: ({ external }) => some(external) },
    ],
  },
  {
    title: "descriptors, threads, tables",
    lines: [
      { name: "descriptors", colour: BLUE, of: ({ descriptors }) => some(descriptors) },
      { name: "threads", colour: ORANGE, of: ({ threads }) => some(threads) },
      {
        name: "tables",
        colour: GREY,
        of: ({ rss, tablesPerLevel }) =>
          rss > 0 ? tablesPerLevel.reduce((a, b) => a + b, 0) : undefined,
      },
    ],
  },
  {
    title: "disk in use, %",
    lines: [{ name: "disk", colour: BLUE, of: ({ disk }) => some(disk) }],
  },
];

/** The picture, as SVG. */
export function graph(samples: readonly Sample[], { title, kills, phases }: Marks): string {
  const seconds = Math.max(1, samples.at(-1)?.at ?? 1);
  const x = (at: number) => LEFT + at / seconds * (WIDTH - LEFT - RIGHT);
  const height = TOP + PANELS.length * (HEIGHT + GAP);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(LEFT, 20, title, 'font-size="15"'),
  ];
  PANELS.forEach((panel, i) => {
    const top = TOP + i * (HEIGHT + GAP);
    for (const { from, to } of phases) {
      const [a, b] = [x(from), x(Math.min(to, seconds))];
      parts.push(
        `<rect x="${a.toFixed(1)}" y="${top}" width="${
          (b - a).toFixed(1)
        }" height="${HEIGHT}" fill="#fde68a" opacity="0.5"/>`,
      );
    }
    for (const at of kills) {
      parts.push(
        vertical(x(at), top, top + HEIGHT, "#dc2626", `stroke-dasharray="2 3" opacity="0.6"`),
      );
    }
    parts.push(...drawn(panel, samples, top, x));
  });
  const step = tick(seconds / 60, 12);
  for (let minute = 0; minute * 60 <= seconds; minute += step) {
    parts.push(
      text(
        x(minute * 60),
        height - 14,
        `${round(minute)} min`,
        `text-anchor="middle" fill="${GREY}"`,
      ),
    );
  }
  parts.push(
    text(
      WIDTH - RIGHT,
      20,
      "┊ kill -9   ▮ disk filled",
      `text-anchor="end" fill="${GREY}"`,
    ),
    "</svg>\n",
  );
  return parts.join("\n");
}

function drawn(
  { title, log = false, lines }: Panel,
  samples: readonly Sample[],
  top: number,
  x: (at: number) => number,
): string[] {
  const values = lines.flatMap(({ of }) => samples.map(of)).filter((value) => value !== undefined);
  const most = Math.max(1, ...values);
  const step = tick(most, 4);
  const highest = log ? 10 ** Math.ceil(Math.log10(most)) : Math.ceil(most / step) * step;
  const lowest = log
    ? Math.min(highest / 10, 10 ** Math.floor(Math.log10(Math.min(1, ...values))))
    : 0;
  const share = (value: number) =>
    log ? Math.log10(value / lowest) / Math.log10(highest / lowest) : value / highest;
  const y = (value: number) => top + HEIGHT * (1 - share(value));
  const parts = [text(LEFT, top - 6, title, `font-weight="bold"`)];
  const label = (value: number) => {
    const at = y(value);
    parts.push(
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at.toFixed(1)}" y2="${
        at.toFixed(1)
      }" stroke="#e5e7eb"/>`,
      text(LEFT - 6, at + 4, String(round(value)), `text-anchor="end" fill="${GREY}"`),
    );
  };
  if (log) { for (let value = lowest; value <= highest * 1.001; value *= 10) label(value); }
  else for (let value = 0; value <= highest * 1.001; value += step) label(value);
  lines.forEach(({ name, colour, of }, i) => {
    let path = "";
    let isDown = false;
    for (const sample of samples) {
      const value = of(sample);
      if (value !== undefined) {
        path += `${isDown ? "L" : "M"}${x(sample.at).toFixed(1)} ${y(value).toFixed(1)}`;
      }
      isDown = value !== undefined;
    }
    parts.push(
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.2"/>`,
      text(WIDTH - RIGHT + 12, top + 14 + i * 18, name, `fill="${colour}"`),
    );
  });
  return parts;
}

function vertical(x: number, from: number, to: number, colour: string, more: string): string {
  return `<line x1="${x.toFixed(1)}" x2="${
    x.toFixed(1)
  }" y1="${from}" y2="${to}" stroke="${colour}" ${more}/>`;
}

function text(x: number, y: number, what: string, more: string): string {
  const safe = what.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${safe}</text>`;
}

/** A round step, so that there are about so many up to the most. */
function tick(most: number, count: number): number {
  const rough = most / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => power * factor >= rough) ?? 10);
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
