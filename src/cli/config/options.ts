/**
 * The options as a flat list, read off the schema: what loading, printing and documenting walk over.
 * @module
 */
import { formatOption, type OptionKind, type OptionMeta } from "./option.ts";
import { configSchema, SECTIONS } from "./schema.ts";

/** One option. */
export interface Option extends OptionMeta {
  readonly section: string;
  readonly name: string;
  /** `section.name`. */
  readonly path: string;
  /** `PAIRDB_SECTION_NAME`. */
  readonly variable: string;
  /** As `config print` writes it. */
  readonly default: unknown;
}

/** All options by path, in the order in which they are printed. */
export const OPTIONS: ReadonlyMap<string, Option> = new Map(
  Object.entries(SECTIONS).flatMap(([section, { schema }]) => {
    const defaults = configSchema.parse({})[section as keyof typeof SECTIONS];
    return Object.entries(schema.shape).map(([name, option]): [string, Option] => {
      const meta = option.meta() as unknown as OptionMeta;
      const path = `${section}.${name}`;
      const preset = (defaults as Readonly<Record<string, unknown>>)[name];
      const variable = environmentName(path);
      return [path, { ...meta, section, name, path, variable, default: asWritten(meta, preset) }];
    });
  }),
);

/** The environment variable of an option's path. */
export function environmentName(path: string): string {
  return `PAIRDB_${path.replaceAll(".", "_").toUpperCase()}`;
}

/** An option's value as people write it. */
export function asWritten(option: { kind: OptionKind }, value: unknown): unknown {
  return formatOption(option.kind, value);
}
