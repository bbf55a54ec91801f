/**
 * Options: how one setting is declared. Each constructor gives a zod schema that carries, beside its
 * bounds and default, what errors and the documentation say about it: what is accepted, in words,
 * and the default as a person would write it.
 * @module
 */
import { z } from "zod";
import { formatDuration, formatSize, parseDuration, parseSize } from "../units.ts";

/** How an option's value is written as text. */
export type OptionKind =
  | "text"
  | "list"
  | "integer"
  | "number"
  | "flag"
  | "choice"
  | "duration"
  | "size";

/** What an option's schema carries in its metadata. A type, since zod's metadata wants an index signature. */
export type OptionMeta = {
  readonly description: string;
  readonly kind: OptionKind;
  /** Completes "… is not …": what is accepted, with bounds and unit. */
  readonly expects: string;
  /** The values of a choice. */
  readonly choices?: readonly string[];
};

interface Bounds<T> {
  readonly default: T;
  readonly min: T;
  readonly max: T;
}

/** An integer. */
export function integer(description: string, { default: preset, min, max }: Bounds<number>) {
  return z.int().min(min).max(max).default(preset).meta(
    meta("integer", description, `an integer from ${min} to ${max}`),
  );
}

/** A number with fractions. */
export function number(description: string, { default: preset, min, max }: Bounds<number>) {
  return z.number().min(min).max(max).default(preset).meta(
    meta("number", description, `a number from ${min} to ${max}`),
  );
}

/** A size, in bytes once parsed. */
export function size(description: string, { default: preset, min, max }: Bounds<string>) {
  return quantity(parseSize, preset, min, max).meta(
    meta("size", description, `a size in bytes or with a unit, from ${min} to ${max}`),
  );
}

/** A duration, in milliseconds once parsed. */
export function duration(description: string, { default: preset, min, max }: Bounds<string>) {
  return quantity(parseDuration, preset, min, max).meta(
    meta("duration", description, `a duration from ${min} to ${max}, such as ${preset}`),
  );
}

/** One of a few words. */
export function choice<const Choices extends readonly [string, ...string[]]>(
  description: string,
  choices: Choices,
  preset: Choices[number],
) {
  return z.enum(choices).default(preset as z.core.util.NoUndefined<Choices[number]>).meta({
    ...meta("choice", description, `one of ${choices.join(", ")}`),
    choices,
  });
}

/** On or off. */
export function flag(description: string, preset: boolean) {
  return z.boolean().default(preset).meta(meta("flag", description, "true or false"));
}

/** Text that matches a pattern. */
export function text(
  description: string,
  { default: preset, pattern, expects }: { default: string; pattern: RegExp; expects: string },
) {
  return z.string().regex(pattern).default(preset).meta(meta("text", description, expects));
}

/** A path that may be empty, for none. */
export function path(description: string) {
  return text(description, {
    default: "",
    // deno-lint-ignore no-control-regex -- a NUL ends a path for the system: it must not get there
    pattern: /^[^\x00]{0,4096}$/,
    expects: "a path of up to 4096 characters",
  });
}

/** A list of texts that match a pattern; in the environment and on the command line, with commas. */
export function textList(
  description: string,
  { default: preset, pattern, expects, maxItems }: {
    default: string[];
    pattern: RegExp;
    expects: string;
    maxItems: number;
  },
) {
  return z.array(z.string().regex(pattern)).max(maxItems).default(preset).meta(
    meta("list", description, `a list of at most ${maxItems}: ${expects}`),
  );
}

/** A list of some of a few words, at least one; in the environment and on the command line, with commas. */
export function choiceList<const Choices extends readonly [string, ...string[]]>(
  description: string,
  choices: Choices,
  { default: preset, maxItems }: { default: Choices[number][]; maxItems: number },
) {
  return z.array(z.enum(choices)).min(1).max(maxItems)
    .default(preset as z.core.util.NoUndefined<Choices[number]>[]).meta(
      meta("list", description, `a list of 1 to ${maxItems} of ${choices.join(", ")}`),
    );
}

/** The value as `config print` and the documentation write it: what the option reads back. */
export function formatOption(kind: OptionKind, value: unknown): unknown {
  if (kind === "size") return formatSize(value as number);
  if (kind === "duration") return formatDuration(value as number);
  return value;
}

function meta(kind: OptionKind, description: string, expects: string): OptionMeta {
  return { description, kind, expects };
}

function quantity(
  parse: (text: string | number) => number | undefined,
  preset: string,
  min: string,
  max: string,
) {
  return z.union([z.number(), z.string()])
    .transform((value) => parse(value) ?? NaN)
    .pipe(z.number().min(parse(min)!).max(parse(max)!))
    .prefault(preset);
}
