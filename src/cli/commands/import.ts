/**
 * `pairdb import TENANT FILE|-`: stores records from JSON lines, in batches.
 *
 * Batches are sent while earlier ones are under way, and counted in order, so that "stored through
 * line L" is true of every line up to L. Two batches with a key in common are never under way
 * together, or the earlier value might come out on top.
 *
 * A record that says when it is gone gets what is left of that time by this machine's clock; one whose time
 * is over is left out.
 * @module
 */
import { type BatchItem, type PairDB, PairError } from "../../client/mod.ts";
import { type Clock, denoClock } from "../../runtime/mod.ts";
import { readChunks } from "../input.ts";
import { type Line, splitLines } from "../lines.ts";
import { Progress } from "../progress.ts";
import { type KeyValue, MAX_LINE_BYTES, parseRecord } from "../records.ts";
import { connect, print, type Shell } from "../shell.ts";

/** Most items of a batch: the server's limit. */
const BATCH_ITEMS = 1000;
/** Bytes of a batch's values and keys, except that one larger value may stand alone. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** Batches under way at a time. */
const BATCHES_UNDER_WAY = 4;

/** Stores all records of a file. What is stored already with the same value is left alone. */
export async function importRecords(shell: Shell, tenant: string, file: string): Promise<number> {
  const { process } = shell;
  const db = await connect(shell);
  const total = file === "-" ? undefined : process.fileSize(file);
  const progress = new Progress(process, "importing", total);
  const importer = new Importer(
    db,
    tenant,
    denoClock(),
    (stored) => progress.update(stored.records, stored.end),
  );
  try {
    const lines = splitLines(withoutBom(readChunks(process, file)), MAX_LINE_BYTES);
    try {
      for await (const line of lines) await importer.take(line);
    } finally {
      // After a malformed line too: what stood before it is sound, and is stored.
      await importer.finish();
    }
  } catch (error) {
    await importer.settle();
    progress.clear();
    const { line, records } = importer.stored;
    process.err(`stored through line ${line} (${records} records)\n`);
    throw error;
  }
  progress.clear();
  const { records, unchanged } = importer.stored;
  const { expired } = importer;
  const gone = expired > 0 ? `, left out ${expired} whose time is over` : "";
  print(shell, `imported ${records} records (${unchanged} unchanged)${gone}`, {
    records,
    unchanged,
    expired,
  });
  return 0;
}

/** How far the stored part of the input reaches. */
interface Stored {
  line: number;
  /** Bytes of the input. */
  end: number;
  records: number;
  unchanged: number;
}

/** A batch that was sent. */
interface Sent {
  readonly keys: ReadonlySet<string>;
  /** Lines that it stands for. */
  readonly records: number;
  readonly line: number;
  readonly end: number;
  /** Never rejects: a failure waits here until the batches before it are counted. */
  readonly outcome: Promise<{ unchanged: number } | { failure: unknown }>;
}

class Importer {
  readonly stored: Stored = { line: 0, end: 0, records: 0, unchanged: 0 };
  /** Records that were gone already. */
  expired = 0;
  readonly #db: PairDB;
  readonly #tenant: string;
  readonly #clock: Clock;
  readonly #onStored: (stored: Stored) => void;
  /** By key: a key that comes again takes its later value. */
  #batch = new Map<string, BatchItem>();
  #records = 0;
  #bytes = 0;
  #last: Line | undefined;
  #sent: Sent[] = [];
  #failed = false;

  constructor(
    db: PairDB,
    tenant: string,
    clock: Clock,
    onStored: (stored: Stored) => void,
  ) {
    this.#db = db;
    this.#tenant = tenant;
    this.#clock = clock;
    this.#onStored = onStored;
  }

  /** Takes one line; sends a batch when it is full. */
  async take(line: Line): Promise<void> {
    if (line.bytes.every(isSpace)) return;
    const record = parseLine(line);
    const ttlMs = this.#left(record);
    if (ttlMs !== undefined && ttlMs < 0) {
      this.expired++;
      return;
    }
    const bytes = record.value.length + record.key.length;
    if (this.#batch.size > 0 && this.#bytes + bytes > BATCH_BYTES) await this.#send();
    this.#batch.set(record.key, { key: record.key, value: record.value, ttlMs });
    this.#records++;
    this.#bytes += bytes;
    this.#last = line;
    if (this.#batch.size === BATCH_ITEMS) await this.#send();
  }

  /** Sends what is left and waits until all is stored. Does nothing after a failure. */
  async finish(): Promise<void> {
    if (this.#failed) return;
    if (this.#batch.size > 0) await this.#send();
    while (this.#sent.length > 0) await this.#count();
  }

  /** Waits until nothing is under way. What comes after a failed batch is not counted. */
  async settle(): Promise<void> {
    await Promise.all(this.#sent.map((sent) => sent.outcome));
  }

  /** What is left of a record's time, in ms; 0: for ever; below 0: nothing. */
  #left({ expiresAtMs }: KeyValue): number | undefined {
    if (expiresAtMs === undefined || expiresAtMs === 0) return expiresAtMs;
    const leftMs = expiresAtMs - this.#clock.wallMs();
    return leftMs < 1 ? -1 : Math.floor(leftMs);
  }

  async #send(): Promise<void> {
    const keys = new Set(this.#batch.keys());
    while (
      this.#sent.length >= BATCHES_UNDER_WAY ||
      this.#sent.some((sent) => !sent.keys.isDisjointFrom(keys))
    ) await this.#count();
    const outcome = this.#db.batchPut(this.#tenant, [...this.#batch.values()], {
      skipUnchanged: true,
    }).catch((failure: unknown) => ({ failure }));
    const { number: line, end } = this.#last!;
    this.#sent.push({ keys, line, end, outcome, records: this.#records });
    this.#batch = new Map();
    this.#records = 0;
    this.#bytes = 0;
  }

  /** Waits for the oldest batch and counts it. */
  async #count(): Promise<void> {
    const { outcome, keys, line, end, records } = this.#sent[0];
    const result = await outcome;
    if ("failure" in result) {
      this.#failed = true;
      throw result.failure;
    }
    this.#sent.shift();
    this.stored.line = line;
    this.stored.end = end;
    this.stored.records += records;
    // A batch may stand for more lines than it has items, when a key came twice.
    this.stored.unchanged += result.unchanged === keys.size ? records : result.unchanged;
    this.#onStored(this.stored);
  }
}

function parseLine(line: Line): KeyValue {
  try {
    return parseRecord(line.bytes);
  } catch (error) {
    if (!(error instanceof PairError)) throw error;
    throw new PairError(error.error, `line ${line.number}: ${error.message}`, error.details, {
      cause: error,
    });
  }
}

/** Drops the byte order mark that some editors put in front of a file. It is no part of the first line. */
async function* withoutBom(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let first = true;
  for await (const chunk of chunks) {
    const marked = first && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf;
    yield marked ? chunk.subarray(3) : chunk;
    first = false;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}
