/**
 * Tables: columns under headings on a terminal; tabs and nothing else when another program reads.
 * @module
 */
import Table from "cli-table3";
import type { Process } from "../runtime/mod.ts";
import { oneLine } from "./text.ts";

/** The lines of a table. */
export function table(
  process: Process,
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const cells = rows.map((row) => row.map(oneLine));
  if (!process.isTerminal("stdout")) return cells.map((row) => row.join("\t"));
  const none = Object.fromEntries(BORDERS.map((border) => [border, ""]));
  const drawn = new Table({
    head: headings.map((heading) => heading.toUpperCase()),
    chars: { ...none, middle: "  " },
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  drawn.push(...cells);
  return drawn.toString().split("\n").map((line) => line.trimEnd());
}

const BORDERS = [
  "top",
  "top-mid",
  "top-left",
  "top-right",
  "bottom",
  "bottom-mid",
  "bottom-left",
  "bottom-right",
  "left",
  "left-mid",
  "mid",
  "mid-mid",
  "right",
  "right-mid",
];
