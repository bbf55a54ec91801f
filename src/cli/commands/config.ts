/**
 * `pairdb config print` and `pairdb config validate FILE`.
 * @module
 */
import {
  environmentSettings,
  fileSettings,
  flagSetting,
  plainConfig,
  printConfig,
  resolveConfig,
  type Setting,
} from "../config/mod.ts";
import { readText } from "../input.ts";
import { print, type Shell } from "../shell.ts";

/** Flags that name sources of the configuration. */
export interface ConfigFlags {
  readonly config?: string;
  readonly set?: readonly string[];
}

/**
 * The settings of every source for this process, the weakest first: file, environment, flags.
 * @param more  settings from flags of a command's own
 */
export function settingsOf(
  shell: Shell,
  flags: ConfigFlags,
  more: readonly Setting[] = [],
): Setting[][] {
  const { process } = shell;
  const file = flags.config ?? (process.env("PAIRDB_CONFIG") || undefined);
  return [
    file === undefined ? [] : fileSettings(readText(process, file), file),
    environmentSettings(process.envWithPrefix("PAIRDB_")),
    [...more, ...(flags.set ?? []).map((assignment) => flagSetting(assignment))],
  ];
}

/** Prints what is in effect, as YAML that can be used as a file. */
export function configPrint(shell: Shell, flags: ConfigFlags): number {
  const config = resolveConfig(settingsOf(shell, flags));
  print(shell, printConfig(config).trimEnd(), plainConfig(config));
  return 0;
}

/** Checks one file, on its own. */
export function configValidate(shell: Shell, file: string): number {
  resolveConfig([fileSettings(readText(shell.process, file), file)]);
  print(shell, `${file}: OK`, { file, valid: true });
  return 0;
}
