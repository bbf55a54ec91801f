/**
 * Contexts as text, for places that carry text only: command lines, HTTP headers, other databases.
 * The text is base64url, without padding, of the protobuf bytes of `pairdb.v1.VectorClock`. With
 * the seal, where the context has one: texts of programs that knew of none still are contexts.
 * @module
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { VectorClockSchema } from "../gen/pairdb/v1/common_pb.ts";
import { checkClock, EMPTY_CLOCK, PairError } from "../model/mod.ts";
import { fromClock, toClock } from "./convert.ts";
import type { Context } from "./types.ts";

/** The context as base64url. */
export function encodeContext(context: Context): string {
  const bytes = toBinary(VectorClockSchema, toClock(context)!);
  // A context has at most 2000 entries of 138 bytes; pieces keep the call below every argument limit.
  let binary = "";
  for (let at = 0; at < bytes.length; at += 4096) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 4096));
  }
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * The context that {@link encodeContext} made the text from. Empty text is the empty context.
 * @throws PairError InvalidArgument (1000) when the text is none
 */
export function decodeContext(text: string): Context {
  if (text === "") return EMPTY_CLOCK;
  if (!/^[A-Za-z0-9_-]+$/.test(text)) throw unreadable("it is not base64url");
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const context = fromClock(fromBinary(VectorClockSchema, bytes));
    const { entries, dots } = checkClock(context);
    return context.seal === undefined ? { entries, dots } : { entries, dots, seal: context.seal };
  } catch (cause) {
    if (cause instanceof PairError && cause.error === "InvalidArgument") throw cause;
    throw unreadable("it is cut off or damaged", cause);
  }
}

function unreadable(why: string, cause?: unknown): PairError {
  return new PairError("InvalidArgument", `Cannot take the context: ${why}`, {}, { cause });
}
