/**
 * The golden stores: where they are, how one gets onto a disk, how its contents are shown as JSON.
 * @module
 */
import {
  type Engine,
  type EngineJob,
  type EngineOptions,
  openEngine,
  runEngineJob,
  type TreeOptions,
} from "../../src/engine/mod.ts";
import { fromUtf8, PairError, reconcileOperator, utf8, type Version } from "../../src/model/mod.ts";
import {
  type Disk,
  SimDisk,
  type SimRuntime,
  simRuntime,
  SimWorkers,
} from "../../src/runtime/mod.ts";
import { appendOperator, SMALL } from "./engine.ts";

/** Folder of the stores that a format version wrote. */
export function goldenFolder(version: number): string {
  return new URL(`../golden/v${version}`, import.meta.url).pathname;
}

/** Operators of the trees in the golden stores. */
export const GOLDEN_OPERATORS = [appendOperator, reconcileOperator] as const;

/** Small blocks and segments, so that little data has all shapes; flushes and compactions when asked. */
export const GOLDEN_OPTIONS: EngineOptions = {
  ...SMALL,
  memtableSize: 1 << 20,
  log: { ...SMALL.log, segmentSize: 800 },
  compaction: { ...SMALL.compaction, l0Trigger: 1000, targetTableSize: 900 },
};

/** The key of the golden stores that are encrypted. */
export const GOLDEN_KEY = Uint8Array.from({ length: 32 }, (_, i) => i);

/**
 * What a golden store is written and read with: `sealed` is encrypted, compressed and in partitions, `packed`
 * in partitions, `mixed` encrypted.
 */
export function goldenOptions(store: string): EngineOptions {
  const { table } = GOLDEN_OPTIONS;
  const encryption = { key: GOLDEN_KEY };
  if (store === "packed") return { ...GOLDEN_OPTIONS, table: { ...table, partitionSize: 1 } };
  if (store === "mixed") return { ...GOLDEN_OPTIONS, encryption };
  if (store !== "sealed") return GOLDEN_OPTIONS;
  return {
    ...GOLDEN_OPTIONS,
    encryption,
    table: { ...table, compression: ["zstd", "lz4"], partitionSize: 1 },
  };
}

/** What can be read in a store. */
export interface Content {
  /** Values by key by tree, as {@link show} shows bytes. */
  readonly trees: Record<string, Record<string, string>>;
  /** By tree, what it has of its own; absent in the first stores, where no tree has anything. */
  readonly own?: Record<
    string,
    { options: TreeOptions; purgeFloor: number; purgedSequence?: number }
  >;
}

/** What a store must hold: beside its files in `<store>.json`. */
export interface Expected extends Content {
  /** What the last process that wrote it left behind. */
  readonly recovery: { segments: number; records: number; tornBytes: number };
  /** Tables by level, by tree. */
  readonly levels: Record<string, number[]>;
  readonly identity: { nodeId: string; incarnation: string; actor?: string };
  /** A snapshot in it. */
  readonly snapshot?: Content & {
    readonly name: string;
    readonly sequence: number;
    readonly createdAtMs: number;
  };
}

/** Bytes as text where that is readable, as `hex:` and digits otherwise. */
export function show(bytes: Uint8Array): string {
  try {
    const text = fromUtf8(bytes);
    if (/^[\x20-\x7e]*$/.test(text) && !text.startsWith("hex:")) return text;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  return `hex:${bytes.toHex()}`;
}

/** What {@link show} was given. */
export function unshow(text: string): Uint8Array {
  return text.startsWith("hex:") ? Uint8Array.fromHex(text.slice(4)) : utf8(text);
}

/** Everything in an engine, by scanning. */
export function contents(engine: Engine): Record<string, Record<string, string>> {
  const trees: Record<string, Record<string, string>> = {};
  for (const tree of engine.trees()) {
    const values: Record<string, string> = {};
    const cursor = engine.scan(tree, {});
    while (cursor.next()) values[show(cursor.key)] = show(cursor.value);
    cursor.close();
    trees[tree.name] = values;
  }
  return trees;
}

/** What trees have of their own: options, and floors. Trees with neither are left out. */
export function ownOf(engine: Engine): NonNullable<Content["own"]> {
  const own: NonNullable<Content["own"]> = {};
  for (const { name, options, purgeFloor, purgedSequence } of engine.trees()) {
    if (Object.keys(options).length === 0 && purgeFloor === 0) continue;
    // Stores that are older than it say nothing of it.
    const later = purgedSequence > 0 ? { purgedSequence } : {};
    own[name] = { options, purgeFloor, ...later };
  }
  return own;
}

/** Files below a folder of the machine, by their path in it. */
export function readFolder(folder: string, inner = ""): Map<string, Uint8Array<ArrayBuffer>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const entry of [...Deno.readDirSync(`${folder}/${inner}`)]) {
    const path = inner === "" ? entry.name : `${inner}/${entry.name}`;
    if (entry.isDirectory) {
      for (const [name, bytes] of readFolder(folder, path)) files.set(name, bytes);
    } else files.set(path, Deno.readFileSync(`${folder}/${path}`));
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Files below a directory of any disk, by their path in it. */
export function readDisk(disk: Disk, root: string): Map<string, Uint8Array<ArrayBuffer>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of disk.list(root)) {
    const path = `${root}/${name}`;
    if (disk.stat(path)?.kind === "file") files.set(name, disk.readWhole(path));
    else for (const [inner, bytes] of readDisk(disk, path)) files.set(`${name}/${inner}`, bytes);
  }
  return files;
}

/** A simulated disk with these files under /data, all durable. */
export function diskWith(files: ReadonlyMap<string, Uint8Array>): SimDisk {
  const disk = new SimDisk();
  for (const [path, bytes] of files) disk.setBytes(`/data/${path}`, bytes);
  return disk;
}

/** A simulated world on the given disk, whose workers carry out table jobs on it. */
export function worldOn(disk: Disk): Omit<SimRuntime, "disk"> & { readonly disk: Disk } {
  const world = simRuntime();
  const handler = (job: unknown) => runEngineJob(disk, GOLDEN_OPERATORS, job as EngineJob);
  return { ...world, disk, workers: new SimWorkers({ handler }) };
}

/** Opens a golden store. */
export function openGolden(
  disk: Disk,
  root = "/data",
  options: EngineOptions = GOLDEN_OPTIONS,
): Promise<Engine> {
  return openEngine(worldOn(disk), root, options, GOLDEN_OPERATORS);
}

/** Siblings in every shape that the codec knows, in canonical order; but see {@link OUTSIDE}. */
export const SIBLINGS: readonly Version[] = [
  {
    clock: { entries: [{ node: "n1", counter: 2 }], dots: [{ node: "n2", counter: 300 }] },
    dot: { node: "n2", counter: 300 },
    value: undefined,
    timestampMs: Date.UTC(2026, 0, 1) + 2,
    expiresAtMs: 0,
  },
  {
    clock: { entries: [{ node: "n1", counter: 3 }], dots: [] },
    dot: { node: "n1", counter: 3 },
    value: utf8("hello"),
    timestampMs: Date.UTC(2026, 0, 1) + 1,
    expiresAtMs: Date.UTC(2026, 1, 1),
  },
];

/** A version whose clock came whole from outside, so that no event in it is its own. */
export const OUTSIDE: readonly Version[] = [
  {
    clock: { entries: [{ node: "n1", counter: 1 }, { node: "\u00f6", counter: 2 }], dots: [] },
    dot: undefined,
    value: utf8("came whole"),
    timestampMs: Date.UTC(2026, 0, 1),
    expiresAtMs: 0,
  },
];

/** Whether an error is a refusal of a newer format that names the file and both numbers. */
export function refusesNewer(error: unknown, file: string, found: number, known: number): boolean {
  return error instanceof PairError && error.error === "InvalidArgument" &&
    error.message.includes(file) &&
    error.message.includes(`its format is ${found}, newer than this program's ${known}`);
}
