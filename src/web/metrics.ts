/**
 * Metrics: counters, gauges and histograms, and their text form for Prometheus (exposition format
 * 0.0.4). A registry is an object like any other; two nodes in one process have one each.
 *
 * Series live for ever, so label values come from small, closed sets: method names, status codes. Never
 * keys; tenants only in samples that are read at a scrape, and no more than a bounded number of them
 * (`tenant_metrics.ts`).
 * @module
 */

/** Upper bounds of latency buckets in seconds: 50 µs to 60 s, about three to a decade. */
const LATENCY_BUCKETS: readonly number[] = [
  0.00005,
  0.0001,
  0.00025,
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
  30,
  60,
];

/** One value, read at the moment of a scrape. */
export interface Sample {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "summary";
  readonly value: number;
  /** What follows the name of a summary's own total. */
  readonly part?: "_sum" | "_count";
  readonly labels?: Readonly<Record<string, string>>;
}

/** Something that only goes up. */
export interface Counter {
  /** @param labels  values, in the order of the names */
  add(count: number, ...labels: string[]): void;
  /** One series of it, for hot paths: it appears with its first count. */
  series(...labels: string[]): SeriesCounter;
}

/** One series of a counter. */
export interface SeriesCounter {
  add(count: number): void;
}

/** Something that goes up and down. */
export interface Gauge {
  /** Changes the value by `delta`. */
  add(delta: number, ...labels: string[]): void;
  /** Replaces the value. */
  set(value: number, ...labels: string[]): void;
  /** One series of it, for hot paths. */
  series(...labels: string[]): SeriesCounter;
}

/** How often something was how large. */
export interface Histogram {
  observe(value: number, ...labels: string[]): void;
  /** One series of it, for hot paths: it appears with its first value. */
  series(...labels: string[]): SeriesHistogram;
}

/** One series of a histogram. */
export interface SeriesHistogram {
  observe(value: number): void;
}

interface Family {
  render(into: string[]): void;
}

/** All metrics of one port. */
export class Registry {
  #families = new Map<string, Family>();
  #collectors: (() => Iterable<Sample>)[] = [];

  /** A new counter; by custom its name ends in `_total`. */
  counter(name: string, help: string, labels: readonly string[] = []): Counter {
    return this.#keep(name, new ValueFamily(name, help, "counter", labels));
  }

  /** A new gauge. */
  gauge(name: string, help: string, labels: readonly string[] = []): Gauge {
    return this.#keep(name, new ValueFamily(name, help, "gauge", labels));
  }

  /** A new histogram. @param buckets  upper bounds, ascending, without infinity */
  histogram(
    name: string,
    help: string,
    labels: readonly string[] = [],
    buckets: readonly number[] = LATENCY_BUCKETS,
  ): Histogram {
    return this.#keep(name, new HistogramFamily(name, help, labels, buckets));
  }

  /** Samples that are asked for at each scrape. */
  collect(samples: () => Iterable<Sample>): void {
    this.#collectors.push(samples);
  }

  /** The text form. */
  render(): string {
    const lines: string[] = [];
    for (const family of this.#families.values()) family.render(lines);
    for (const samples of this.#collectors) renderSamples(samples(), lines);
    return lines.join("");
  }

  #keep<F extends Family>(name: string, family: F): F {
    if (this.#families.has(name)) throw new Error(`Cannot add metric ${name}: it is there already`);
    this.#families.set(name, family);
    return family;
  }
}

/** The value of one series. */
class Cell {
  value = 0;
}

class ValueFamily implements Counter, Gauge {
  #cells = new Map<string, Cell>();

  constructor(
    private readonly name: string,
    private readonly help: string,
    private readonly type: "counter" | "gauge",
    private readonly labels: readonly string[],
  ) {}

  add(delta: number, ...labels: string[]): void {
    this.#cell(seriesKey(this.labels, labels)).value += delta;
  }

  set(value: number, ...labels: string[]): void {
    this.#cell(seriesKey(this.labels, labels)).value = value;
  }

  series(...labels: string[]): SeriesCounter {
    const key = seriesKey(this.labels, labels);
    let cell: Cell | undefined;
    return {
      add: (delta) => {
        cell ??= this.#cell(key);
        cell.value += delta;
      },
    };
  }

  render(into: string[]): void {
    into.push(head(this.name, this.help, this.type));
    // Without labels there is one series, and it is there from the start.
    if (this.labels.length === 0 && this.#cells.size === 0) into.push(`${this.name} 0\n`);
    for (const [key, { value }] of this.#cells) into.push(`${this.name}${braces(key)} ${value}\n`);
  }

  #cell(key: string): Cell {
    let cell = this.#cells.get(key);
    if (cell === undefined) this.#cells.set(key, cell = new Cell());
    return cell;
  }
}

class HistogramFamily implements Histogram {
  /** Series → count of each bucket, then infinity's, then the sum of the values. */
  #series = new Map<string, Float64Array>();

  constructor(
    private readonly name: string,
    private readonly help: string,
    private readonly labels: readonly string[],
    private readonly buckets: readonly number[],
  ) {}

  observe(value: number, ...labels: string[]): void {
    this.#count(this.#cells(seriesKey(this.labels, labels)), value);
  }

  series(...labels: string[]): SeriesHistogram {
    const key = seriesKey(this.labels, labels);
    let cells: Float64Array | undefined;
    return {
      observe: (value) => {
        cells ??= this.#cells(key);
        this.#count(cells, value);
      },
    };
  }

  #cells(key: string): Float64Array {
    let cells = this.#series.get(key);
    if (cells === undefined) {
      this.#series.set(key, cells = new Float64Array(this.buckets.length + 2));
    }
    return cells;
  }

  #count(cells: Float64Array, value: number): void {
    let bucket = 0;
    while (bucket < this.buckets.length && value > this.buckets[bucket]) bucket++;
    cells[bucket]++;
    cells[this.buckets.length + 1] += value;
  }

  render(into: string[]): void {
    into.push(head(this.name, this.help, "histogram"));
    for (const [key, cells] of this.#series) {
      let count = 0;
      for (let i = 0; i <= this.buckets.length; i++) {
        count += cells[i];
        const bound = i < this.buckets.length ? String(this.buckets[i]) : "+Inf";
        const labels = key === "" ? `le="${bound}"` : `${key},le="${bound}"`;
        into.push(`${this.name}_bucket{${labels}} ${count}\n`);
      }
      into.push(`${this.name}_sum${braces(key)} ${cells[this.buckets.length + 1]}\n`);
      into.push(`${this.name}_count${braces(key)} ${count}\n`);
    }
  }
}

/** Collected samples; those of one name must follow each other, and share one head. */
function renderSamples(samples: Iterable<Sample>, into: string[]): void {
  let last = "";
  for (const { name, help, type, value, part = "", labels = {} } of samples) {
    if (name !== last) into.push(head(name, help, type));
    last = name;
    const key = seriesKey(Object.keys(labels), Object.values(labels));
    into.push(`${name}${part}${braces(key)} ${value}\n`);
  }
}

function head(name: string, help: string, type: string): string {
  return `# HELP ${name} ${
    help.replace(/\\/g, "\\\\").replace(/\n/g, "\\n")
  }\n# TYPE ${name} ${type}\n`;
}

/** The labels as they stand between the braces; also the key of a series. */
function seriesKey(names: readonly string[], values: readonly string[]): string {
  let key = "";
  for (let i = 0; i < names.length; i++) {
    key += `${i === 0 ? "" : ","}${names[i]}="${escapeLabel(values[i])}"`;
  }
  return key;
}

function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value)
    ? value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")
    : value;
}

function braces(key: string): string {
  return key === "" ? "" : `{${key}}`;
}
