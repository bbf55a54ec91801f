/**
 * `pairdb get TENANT KEY --explain`: how the node reads a key, layer by layer, and what versions it has.
 * @module
 */
import {
  type Context,
  encodeContext,
  type ExplainedVersion,
  type Explanation,
  type ReadStep,
} from "../../client/mod.ts";
import { connect, print, type Shell } from "../shell.ts";
import { table } from "../table.ts";
import { roughSize } from "../units.ts";
import type { GetFlags } from "./get.ts";

const STEPS = ["layer", "level", "table", "result", "entries", "size", "cached", "read", "bytes"];
const VERSIONS = ["version", "size", "written", "expires", "event", "clock"];

/** Prints what a read of a key went through. That the key has no value is an answer, no failure. */
export async function explain(
  shell: Shell,
  tenant: string,
  key: string,
  { consistency }: Pick<GetFlags, "consistency">,
): Promise<number> {
  const db = await connect(shell);
  const how = await db.explain(tenant, key, { consistency });
  print(shell, shell.output === "json" ? [] : told(shell, how), { key, ...fields(how) });
  return 0;
}

function told(shell: Shell, how: Explanation): string[] {
  const { state, source, steps, versions, durationUs, waits } = how;
  const { tables, filtered, cached, read, bytes } = totals(how);
  const from = source === "none" ? "" : ` in ${source}`;
  const waited = waits === 0 ? "" : `; waits for the disk: ${waits}`;
  return [
    `${state}${from} after ${durationUs.toFixed(0)} µs; ` +
    `tables: ${tables} asked, ${filtered} ruled out by their filters; ` +
    `blocks: ${cached} from the cache, ${read} from the disk (${roughSize(bytes)})${waited}`,
    ...(steps.length > 0 ? table(shell.process, STEPS, steps.map(stepRow)) : []),
    ...(versions.length > 0 ? table(shell.process, VERSIONS, versions.map(versionRow)) : []),
  ];
}

/** Over all steps. */
function totals({ steps }: Explanation) {
  const sum = (of: (step: ReadStep) => number) => steps.reduce((all, step) => all + of(step), 0);
  return {
    tables: sum(({ table }) => table === undefined ? 0 : 1),
    filtered: sum(({ result }) => result === "filtered" ? 1 : 0),
    cached: sum(({ blocksCached }) => blocksCached),
    read: sum(({ blocksRead }) => blocksRead),
    bytes: sum(({ bytesRead }) => bytesRead),
  };
}

function stepRow(step: ReadStep): string[] {
  const isTable = step.table !== undefined;
  const ofTable = (figure: string) => isTable ? figure : "";
  return [
    step.layer.replaceAll("_", " "),
    step.level === undefined ? "" : `L${step.level}`,
    ofTable(`${step.table}${step.opened ? " (opened)" : ""}`),
    step.result,
    `${step.entries}`,
    roughSize(step.valueBytes),
    ofTable(`${step.blocksCached}`),
    ofTable(`${step.blocksRead}`),
    ofTable(roughSize(step.bytesRead)),
  ];
}

function versionRow(version: ExplainedVersion): string[] {
  const { state, valueBytes, timestampMs, expiresAtMs, dot, context } = version;
  return [
    state,
    roughSize(valueBytes),
    time(timestampMs),
    expiresAtMs === undefined ? "" : time(expiresAtMs),
    dot === undefined ? "" : eventText(dot),
    clockText(context),
  ];
}

function eventText({ node, counter }: Context["dots"][number]): string {
  return `${node}:${counter}`;
}

/** Entries, then single events beyond them. */
function clockText({ entries, dots }: Context): string {
  return [...entries.map(eventText), ...dots.map((dot) => `+${eventText(dot)}`)].join(" ");
}

/** A time as ISO 8601; the bare number where there is no such date. */
function time(ms: number): string {
  return ms <= 8_640_000_000_000_000 ? new Date(ms).toISOString() : `${ms}`;
}

function fields(how: Explanation): Record<string, unknown> {
  const { tables, filtered, cached, read, bytes } = totals(how);
  return {
    state: how.state,
    source: how.source,
    duration_us: how.durationUs,
    waits: how.waits,
    tables_asked: tables,
    tables_filtered: filtered,
    blocks_cached: cached,
    blocks_read: read,
    bytes_read: bytes,
    state_bytes: how.stateBytes,
    steps: how.steps.map((step) => ({
      layer: step.layer,
      level: step.level ?? null,
      table: step.table ?? null,
      result: step.result,
      entries: step.entries,
      value_bytes: step.valueBytes,
      opened: step.opened,
      blocks_cached: step.blocksCached,
      blocks_read: step.blocksRead,
      bytes_read: step.bytesRead,
    })),
    context: encodeContext(how.context),
    versions: how.versions.map((version) => ({
      state: version.state,
      value_bytes: version.valueBytes,
      timestamp: version.timestampMs,
      expires_at: version.expiresAtMs ?? null,
      event: version.dot ?? null,
      clock: { entries: version.context.entries, dots: version.context.dots },
      context: encodeContext(version.context),
    })),
  };
}
