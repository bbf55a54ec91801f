/**
 * Whether a function may merge: it is tried on values before it is taken.
 *
 *     the same each time    two workers, one of which is asked in the opposite order, give the same
 *     commutative           m(a, b) = m(b, a)
 *     associative           m(m(a, b), c) = m(a, m(b, c))
 *     idempotent            m(m(a, b), b) = m(a, b)
 *
 * Where one of these does not hold, nodes that have the same versions could show different values. That a
 * value which is not in the function's own form comes out in that form is no offence: m(a, a) = a holds for
 * what it has made itself.
 *
 * Nobody knows what the application's values look like, so there are generated ones of several kinds, on which
 * the function may throw, as long as it does so in either order; and samples, on which it may not.
 * @module
 */
import { compareBytes, PairError, utf8 } from "../../model/mod.ts";
import { type SandboxedFunction, SandboxError } from "../../runtime/mod.ts";

/** Samples that can be given. */
export const MAX_SAMPLES = 8;
/** Triples of each kind of values that are tried. */
const TRIPLES = 64;
/** Characters of a value that are shown. */
const SHOWN = 60;

/** What became of a fold; undefined: the function threw. */
type Outcome = Uint8Array | undefined;

/** Values of the kinds that applications have, the same each time. */
export function generatedValues(): Uint8Array[] {
  let state = 0x9e3779b9;
  const random = Uint8Array.from({ length: 40 }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  });
  return [
    utf8(""),
    utf8("a"),
    utf8("b"),
    utf8("7"),
    utf8("12"),
    utf8('["a"]'),
    utf8('["c","b"]'),
    utf8('{"a":1}'),
    utf8('{"a":2,"b":["x"]}'),
    Uint8Array.of(0, 1),
    random.subarray(0, 8),
    random.subarray(8),
  ];
}

/**
 * Tries a function.
 * @param start    starts it, each time in a worker of its own
 * @param samples  values as the application has them
 * @throws PairError InvalidArgument (1000) with the detail `reason: merge_function` and `law`: what it
 *   offended, on which values
 */
export async function checkLaws(
  start: () => SandboxedFunction,
  samples: readonly Uint8Array[],
): Promise<void> {
  const first = start();
  const second = start();
  try {
    const isKnown = await checkValues(first, second, samples, true);
    const isUsed = await checkValues(first, second, generatedValues(), false);
    if (!isKnown && !isUsed) {
      throw refused(
        "samples",
        "it throws on all generated values: register it with samples of yours",
      );
    }
  } finally {
    first.end();
    second.end();
  }
}

/** @param mustMerge  it may not throw. @returns whether it has merged two different values */
async function checkValues(
  first: SandboxedFunction,
  second: SandboxedFunction,
  values: readonly Uint8Array[],
  mustMerge: boolean,
): Promise<boolean> {
  const count = values.length;
  const pairs = values.flatMap((_, i) => values.map((_, j): [number, number] => [i, j]));
  const merged: Outcome[] = [];
  for (const [i, j] of pairs) merged.push(await attempt(first, [values[i], values[j]], mustMerge));
  for (let at = pairs.length - 1; at >= 0; at--) {
    const [i, j] = pairs[at];
    const again = await attempt(second, [values[i], values[j]], mustMerge);
    if (!isSame(again, merged[at])) {
      throw broken("determinism", "it does not give the same each time", [values[i], values[j]], [
        merged[at],
        again,
      ]);
    }
  }
  for (const [i, j] of pairs) {
    const [ab, ba] = [merged[i * count + j], merged[j * count + i]];
    if (!isSame(ab, ba)) {
      throw broken("commutative", "m(a, b) is not m(b, a)", [values[i], values[j]], [ab, ba]);
    }
    if (ab === undefined) continue;
    const again = await attempt(first, [ab, values[j]], mustMerge);
    if (!isSame(again, ab)) {
      throw broken("idempotent", "m(m(a, b), b) is not m(a, b)", [values[i], values[j]], [
        again,
        ab,
      ]);
    }
  }
  for (const [i, j, k] of triplesOf(count)) {
    const [a, b, c] = [values[i], values[j], values[k]];
    const [ab, bc] = [merged[i * count + j], merged[j * count + k]];
    if (ab === undefined || bc === undefined) continue;
    const left = await attempt(first, [ab, c], mustMerge);
    const right = await attempt(first, [a, bc], mustMerge);
    if (!isSame(left, right)) {
      const law = "m(m(a, b), c) is not m(a, m(b, c))";
      throw broken("associative", law, [a, b, c], [left, right]);
    }
  }
  return pairs.some(([i, j]) => i !== j && merged[i * count + j] !== undefined);
}

/** Some of all triples, spread over them. */
function triplesOf(count: number): [number, number, number][] {
  const all = count ** 3;
  const step = Math.max(1, Math.floor(all / TRIPLES) | 1);
  const triples: [number, number, number][] = [];
  for (let at = 0; at < all; at += step) {
    triples.push([Math.floor(at / count ** 2), Math.floor(at / count) % count, at % count]);
  }
  return triples;
}

/** What it makes of two values. @throws PairError for what it must not do on any */
async function attempt(
  merge: SandboxedFunction,
  values: readonly Uint8Array[],
  mustMerge: boolean,
): Promise<Outcome> {
  try {
    return await merge.fold(values);
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    const { reason, message } = error;
    if (reason === "threw" && !mustMerge) return undefined;
    if (reason === "load") throw refused("load", message);
    if (reason === "busy" || reason === "ended" || reason === "broken") {
      throw new PairError("Unavailable", `Cannot register the merge function: ${message}`);
    }
    throw refused(reason, `on ${letters(values)}: ${message}`);
  }
}

function broken(
  law: string,
  what: string,
  values: readonly Uint8Array[],
  outcomes: readonly [Outcome, Outcome],
): PairError {
  const [one, other] = outcomes.map((each) => each === undefined ? "an error" : show(each));
  return refused(law, `${what}, for ${letters(values)}: ${one} and ${other}`);
}

/** What is wrong with a function. */
export function refused(law: string, what: string): PairError {
  return new PairError("InvalidArgument", `Cannot register the merge function: ${what}`, {
    reason: "merge_function",
    law,
  });
}

function letters(values: readonly Uint8Array[]): string {
  return values.map((value, i) => `${"abc"[i]} = ${show(value)}`).join(", ");
}

/** A value as people can read it: as text where it is ASCII, else in hex. */
function show(value: Uint8Array): string {
  const isText = value.every((byte) => byte >= 0x20 && byte < 0x7f);
  const text = isText
    ? JSON.stringify(String.fromCharCode(...value.subarray(0, SHOWN)))
    : `0x${value.subarray(0, SHOWN / 2).toHex()}`;
  return value.length > (isText ? SHOWN : SHOWN / 2) ? `${text}... (${value.length} bytes)` : text;
}

function isSame(a: Outcome, b: Outcome): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && compareBytes(a, b) === 0;
}
