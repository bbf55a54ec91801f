/**
 * Printing: a configuration as YAML with its documentation in comments. Read back, it is the same.
 * @module
 */
import { stringify } from "yaml";
import { asWritten, OPTIONS } from "./options.ts";
import { type Config, SECTIONS } from "./schema.ts";
import { wrap } from "./wrap.ts";

/** The configuration as commented YAML. */
export function printConfig(config: Config): string {
  const lines = ["# PairDB configuration: every option, with the value in effect."];
  for (const [section, { title }] of Object.entries(SECTIONS)) {
    lines.push("", `# ${title}.`, `${section}:`);
    const values = config[section as keyof Config] as Readonly<Record<string, unknown>>;
    for (const option of OPTIONS.values()) {
      if (option.section !== section) continue;
      const words = `${option.description} Accepts ${option.expects}. Default: ${
        scalar(option.default)
      }`;
      for (const line of wrap(words, 94)) lines.push(`  # ${line}`);
      lines.push(`  ${option.name}: ${scalar(asWritten(option, values[option.name]))}`);
    }
  }
  return lines.join("\n") + "\n";
}

/** The configuration as plain values, the way people write them: for JSON. */
export function plainConfig(config: Config): Record<string, Record<string, unknown>> {
  const sections: Record<string, Record<string, unknown>> = {};
  for (const option of OPTIONS.values()) {
    const values = config[option.section as keyof Config] as Readonly<Record<string, unknown>>;
    (sections[option.section] ??= {})[option.name] = asWritten(option, values[option.name]);
  }
  return sections;
}

/** A value as one line of YAML. */
export function scalar(value: unknown): string {
  // YAML takes JSON; lists and odd strings are clearest that way, and always on one line.
  if (typeof value !== "string") return JSON.stringify(value);
  const text = stringify(value, { lineWidth: 0 }).trimEnd();
  return text.includes("\n") ? JSON.stringify(value) : text;
}
