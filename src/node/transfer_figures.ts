/**
 * What a node has handed over and taken in, for metrics. Rates are these figures by time.
 * @module
 */
import type { Clock } from "../runtime/mod.ts";
import type { Replicated, TransferTotals } from "./api.ts";

/** Counts streams and batches; times in ms. */
export class TransferFigures {
  readonly #clock: Clock;
  #running = 0;
  #completed = 0;
  #failed = 0;
  #sent = { keys: 0, versions: 0, bytes: 0 };
  #sendMs = 0;
  #batches = 0;
  #received = { keys: 0, versions: 0, bytes: 0, applied: 0 };
  #receiveMs = 0;
  #checksumMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A stream begins; whoever begins one ends it. */
  begin(): StreamFigures {
    this.#running++;
    const startedMs = this.#clock.monotonicMs();
    const before = { keys: 0, versions: 0, bytes: 0 };
    return {
      sent: ({ keys, versions, bytes }) => {
        this.#sent.keys += keys - before.keys;
        this.#sent.versions += versions - before.versions;
        this.#sent.bytes += bytes - before.bytes;
        Object.assign(before, { keys, versions, bytes });
      },
      end: (isWhole) => {
        this.#running--;
        if (isWhole) this.#completed++;
        else this.#failed++;
        this.#sendMs += this.#clock.monotonicMs() - startedMs;
      },
    };
  }

  /** A batch of another node was taken in. @param startedMs  when it came, monotonic */
  received(taken: Replicated, bytes: number, startedMs: number): void {
    this.#batches++;
    this.#received.keys += taken.keys;
    this.#received.versions += taken.versions;
    this.#received.applied += taken.applied;
    this.#received.bytes += bytes;
    this.#receiveMs += this.#clock.monotonicMs() - startedMs;
  }

  /** Does what has to do with checksums, and takes its time. */
  checksum<T>(run: () => T): T {
    const startedMs = this.#clock.monotonicMs();
    try {
      return run();
    } finally {
      this.#checksumMs += this.#clock.monotonicMs() - startedMs;
    }
  }

  /** All of it, since the node's start; but `transferStreams`, which is now. */
  get figures(): Readonly<Record<string, number>> {
    return {
      transferStreams: this.#running,
      transferStreamsCompleted: this.#completed,
      transferStreamsFailed: this.#failed,
      transferKeysSent: this.#sent.keys,
      transferVersionsSent: this.#sent.versions,
      transferBytesSent: this.#sent.bytes,
      transferSendMs: toMicroseconds(this.#sendMs),
      transferBatchesReceived: this.#batches,
      transferKeysReceived: this.#received.keys,
      transferVersionsReceived: this.#received.versions,
      transferVersionsApplied: this.#received.applied,
      transferBytesReceived: this.#received.bytes,
      transferReceiveMs: toMicroseconds(this.#receiveMs),
      transferChecksumMs: toMicroseconds(this.#checksumMs),
    };
  }
}

/** The figures of one stream. */
export interface StreamFigures {
  /** Another batch is on its way. @param totals  of the stream so far */
  sent(totals: Pick<TransferTotals, "keys" | "versions" | "bytes">): void;
  /** @param isWhole  false: it failed, or its reader went away */
  end(isWhole: boolean): void;
}

/** Checksums take less than a ms each, so ms have a fraction; what is behind that is noise. */
function toMicroseconds(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
