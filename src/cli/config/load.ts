/**
 * Loading: from a file, the environment and flags to one checked configuration.
 *
 * Each source becomes a list of settings (a path, a value, and where it stands, for errors); a later
 * list wins over an earlier one, option by option; the schema checks what came out.
 *
 *     defaults  <  file  <  environment  <  flags
 * @module
 */
import { isAlias, isMap, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import { PairError } from "../../model/mod.ts";
import { closest } from "./closest.ts";
import { environmentName, type Option, OPTIONS } from "./options.ts";
import { ALIASES, type Config, configSchema, NOT_YET, SECTIONS } from "./schema.ts";

/** One option set somewhere. */
export interface Setting {
  /** `section.option`; or only a section, when that is unknown. */
  readonly path: string;
  readonly value: unknown;
  /** Where it stands: `pairdb.yaml:3:9`, `PAIRDB_SERVER_PORT`, `--set`. */
  readonly where: string;
}

/** Variables with our prefix that are no options. */
const OTHER_VARIABLES = new Set([
  "PAIRDB_SERVER",
  "PAIRDB_TOKEN",
  "PAIRDB_CA",
  "PAIRDB_CERT",
  "PAIRDB_CERT_KEY",
  "PAIRDB_CONFIG",
  "PAIRDB_PACKAGING",
]);

/** The most bytes of a configuration file. */
const MAX_FILE_LENGTH = 1024 * 1024;

/**
 * The configuration that the sources make together.
 * @param layers  settings of each source, the weakest first
 * @throws PairError InvalidArgument (1000) that names every unknown or bad option and where it stands
 */
export function resolveConfig(layers: readonly (readonly Setting[])[]): Config {
  const problems: string[] = [];
  const winners = new Map<string, Setting>();
  for (const layer of layers) {
    for (const [path, setting] of settleLayer(layer, problems)) winners.set(path, setting);
  }
  const parsed = configSchema.safeParse(nest(winners.values()));
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const path = issue.path.slice(0, 2).join(".");
      const setting = winners.get(path);
      const text = issue.code === "custom"
        ? issue.message
        : describeRefusal(OPTIONS.get(path)!, setting?.value);
      problems.push(locate(setting?.where, `${path}: ${text}`));
    }
  }
  if (problems.length > 0 || !parsed.success) {
    throw new PairError("InvalidArgument", [...new Set(problems)].join("; "));
  }
  return parsed.data;
}

/** The settings of one source by path, aliases resolved; what is unknown or said twice is a problem. */
function settleLayer(layer: readonly Setting[], problems: string[]): Map<string, Setting> {
  const settled = new Map<string, Setting>();
  for (const setting of layer) {
    const alias = own(ALIASES, setting.path);
    if (alias !== undefined) {
      const value = own(alias.values, String(setting.value));
      const earlier = settled.get(alias.option);
      if (value === undefined) {
        const accepted = Object.keys(alias.values).join(" or ");
        problems.push(
          locate(setting.where, `${setting.path}: ${show(setting.value)} is not ${accepted}`),
        );
      } else if (earlier !== undefined && earlier.value !== value) {
        problems.push(locate(setting.where, `${setting.path} contradicts ${alias.option}`));
      } else {
        settled.set(alias.option, { path: alias.option, value, where: setting.where });
      }
    } else if (OPTIONS.has(setting.path)) {
      const earlier = settled.get(setting.path);
      // Only an alias can have been here before within a file; a flag may be repeated, the last wins.
      if (
        earlier !== undefined && isAliased(layer, setting.path) && earlier.value !== setting.value
      ) {
        problems.push(locate(setting.where, `${setting.path} contradicts its second name`));
      }
      settled.set(setting.path, setting);
    } else {
      problems.push(locate(setting.where, describeUnknown(setting)));
    }
  }
  return settled;
}

function isAliased(layer: readonly Setting[], path: string): boolean {
  return layer.some((setting) => own(ALIASES, setting.path)?.option === path);
}

/**
 * The settings of a YAML file.
 * @param name  the file's name, for errors
 * @throws PairError InvalidArgument (1000) when it is no YAML map of sections
 */
export function fileSettings(text: string, name: string): Setting[] {
  if (text.length > MAX_FILE_LENGTH) throw unreadable(`${name}: it is longer than 1 MiB`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  for (const problem of [...document.errors, ...document.warnings]) {
    throw unreadable(`${at(problem.pos[0])}: ${problem.message}`);
  }
  const toJs = (node: unknown) => (node as Node | null)?.toJS(document) ?? null;
  const pairsOf = (node: unknown, what: string) => {
    const target = isAlias(node) ? node.resolve(document) : node;
    if (target === null || (isScalar(target) && target.value === null)) return [];
    if (isMap(target)) return target.items;
    throw unreadable(`${at((node as Node).range?.[0] ?? 0)}: ${what}`);
  };

  const settings: Setting[] = [];
  for (const section of pairsOf(document.contents, "a configuration is a map of sections")) {
    const sectionName = String(toJs(section.key));
    const where = at((section.key as Node).range?.[0] ?? 0);
    if (!Object.hasOwn(SECTIONS, sectionName)) {
      settings.push({ path: sectionName, value: undefined, where });
      continue;
    }
    for (const pair of pairsOf(section.value, `${sectionName} is a section: it holds options`)) {
      const where = at((pair.key as Node).range?.[0] ?? 0);
      settings.push({
        path: `${sectionName}.${String(toJs(pair.key))}`,
        value: toJs(pair.value),
        where,
      });
    }
  }
  return settings;
}

/**
 * The settings in environment variables. An empty variable is one that is not set: compose files and
 * charts pass those for what nobody filled in.
 * @param variables  all that begin with `PAIRDB_`
 */
export function environmentSettings(variables: Readonly<Record<string, string>>): Setting[] {
  const paths = new Map(
    [...OPTIONS.keys(), ...Object.keys(ALIASES), ...Object.keys(NOT_YET)]
      .map((path) => [environmentName(path), path]),
  );
  const settings: Setting[] = [];
  for (const [name, text] of Object.entries(variables)) {
    if (text === "" || OTHER_VARIABLES.has(name) || isServiceLink(name, text)) continue;
    const path = paths.get(name);
    if (path !== undefined) {
      settings.push({ path, value: fromText(path, text), where: name });
    } else if (name.startsWith("PAIRDB_GOSSIP_")) {
      settings.push({ path: "gossip", value: text, where: name });
    } else if (looksLikeOption(name)) {
      settings.push({ path: name, value: text, where: "environment" });
    }
  }
  return settings;
}

/** Kubernetes sets variables such as PAIRDB_SERVER_PORT=tcp://10.0.0.1:80 for a service `pairdb-server`. */
function isServiceLink(name: string, text: string): boolean {
  return /^(tcp|udp|sctp):\/\//.test(text) ||
    /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)/.test(name);
}

/** Whether a variable begins with a section's name, underscores aside: then it was meant for us. */
function looksLikeOption(name: string): boolean {
  const bare = name.slice("PAIRDB_".length).replaceAll("_", "").toLowerCase();
  return Object.keys(SECTIONS).some((section) => {
    const prefix = section.replaceAll("_", "");
    return bare.startsWith(prefix) && bare.length > prefix.length;
  });
}

/**
 * The setting of one `path=value` from the command line.
 * @throws PairError InvalidArgument (1000) when there is no `=`
 */
export function flagSetting(assignment: string, where = "--set"): Setting {
  const split = assignment.indexOf("=");
  if (split < 1) throw unreadable(`${where}: ${show(assignment)} is not of the form option=value`);
  const path = assignment.slice(0, split).trim();
  return { path, value: fromText(path, assignment.slice(split + 1)), where };
}

/** Text from the environment or the command line as the type that the option wants. */
function fromText(path: string, text: string): unknown {
  switch (OPTIONS.get(path)?.kind) {
    case "integer":
    case "number":
      return /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) ? Number(text) : text;
    case "flag":
      return text === "true" ? true : text === "false" ? false : text;
    case "list":
      return text === "" ? [] : text.split(",").map((item) => item.trim());
    default:
      return text;
  }
}

function nest(settings: Iterable<Setting>): Record<string, Record<string, unknown>> {
  const sections: Record<string, Record<string, unknown>> = {};
  for (const { path, value } of settings) {
    const [section, name] = path.split(".");
    (sections[section] ??= {})[name] = value;
  }
  return sections;
}

function describeRefusal(option: Option, value: unknown): string {
  // YAML takes 007 and yes for a number and a word; whoever wants text has to say so.
  const quote = option.kind === "text" && typeof value !== "string" && typeof value !== "object";
  return `${show(value)} is not ${option.expects}${quote ? "; put it in quotes" : ""}`;
}

function describeUnknown({ path, where }: Setting): string {
  const known = own(NOT_YET, path) ?? own(NOT_YET, path.split(".")[0]);
  if (known !== undefined) return `${path} is not supported yet: ${known}`;
  const candidates = where === "environment"
    ? [...OPTIONS.values()].map((option) => option.variable)
    : path.includes(".")
    ? [...OPTIONS.keys(), ...Object.keys(ALIASES)]
    : Object.keys(SECTIONS);
  const hint = closest(path, candidates);
  const what = path.includes(".") || where === "environment" ? "option" : "section";
  return `unknown ${what} ${show(path).slice(1, -1)}${hint ? `, did you mean ${hint}?` : ""}`;
}

/** A table's own row: names come from outside, and `constructor` is in every object. */
function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function locate(where: string | undefined, text: string): string {
  return where === undefined ? text : `${where}: ${text}`;
}

/** A value in an error: one line, not too long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function unreadable(message: string): PairError {
  return new PairError("InvalidArgument", message);
}
