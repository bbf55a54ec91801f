/**
 * Progress: one line on a terminal's standard error that moves; nothing anywhere else.
 *
 *     importing [########............]  41%  26,000 records
 * @module
 */
import type { Process } from "../runtime/mod.ts";

const BAR_COLUMNS = 20;

/** A line that shows how far a long command is. */
export class Progress {
  readonly #process: Process;
  readonly #verb: string;
  readonly #total: number | undefined;
  readonly #shown: boolean;
  #line = "";

  /**
   * @param verb   what is being done, such as `importing`
   * @param total  what `done` counts up to; undefined: unknown, and no bar
   */
  constructor(process: Process, verb: string, total: number | undefined) {
    this.#process = process;
    this.#verb = verb;
    this.#total = total;
    this.#shown = process.isTerminal("stderr");
  }

  /** Shows where things are. Cheap to call: the line is written only when it has changed. */
  update(records: number, done = 0): void {
    if (!this.#shown) return;
    const line = `${this.#verb}${this.#bar(done)}  ${records.toLocaleString("en")} records`
      .slice(0, Math.max(0, this.#process.columns() - 1));
    if (line === this.#line) return;
    this.#line = line;
    this.#process.err(`\r\x1b[K${line}`);
  }

  /** Takes the line away, so that what is said next stands on its own. */
  clear(): void {
    if (this.#line !== "") this.#process.err("\r\x1b[K");
    this.#line = "";
  }

  #bar(done: number): string {
    if (this.#total === undefined || this.#total === 0) return "";
    const share = Math.min(1, done / this.#total);
    const full = Math.floor(share * BAR_COLUMNS);
    const percent = `${Math.floor(share * 100)}%`.padStart(4);
    return ` [${"#".repeat(full)}${".".repeat(BAR_COLUMNS - full)}] ${percent}`;
  }
}
