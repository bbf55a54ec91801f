/**
 * The worker that takes the types out of one source: a parser of its own, of Rust in WebAssembly, which a text
 * can drive out of its stack and leave unusable. So it is used once.
 * @module
 */
import { transformSync } from "amaro";

/** What it answers to a source. */
export type Stripped =
  | { readonly code: string }
  | { readonly problem: string };

/** The part of the worker's global object that is used. */
interface Scope {
  postMessage(message: Stripped): void;
  onmessage: ((event: { readonly data: string }) => void) | null;
}

const scope = globalThis as unknown as Scope;
scope.onmessage = ({ data }) => scope.postMessage(strip(data));

function strip(source: string): Stripped {
  try {
    return { code: transformSync(source, { mode: "strip-only", filename: "merge.ts" }).code };
  } catch (error) {
    const { message, startLine, startColumn } = error as Record<string, unknown>;
    const place = typeof startLine === "number"
      ? `line ${startLine}, column ${Number(startColumn) + 1}: `
      : "";
    return { problem: `${place}${typeof message === "string" ? message : String(error)}` };
  }
}
