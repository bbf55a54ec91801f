/**
 * The documentation page of the configuration, made from the schema. `tools/config_docs.ts` writes it
 * to docs/configuration.md, and `deno task check` refuses one that is out of date.
 * @module
 */
import { environmentName, OPTIONS } from "./options.ts";
import { scalar } from "./print.ts";
import { ALIASES, NOT_YET, SECTIONS } from "./schema.ts";

/** The page as Markdown. */
export function configurationPage(): string {
  const sections = Object.entries(SECTIONS).map(([section, { title }]) =>
    [`## ${section}`, `${title}.`, ...optionsOf(section)].join("\n\n")
  );
  return [INTRODUCTION, ...sections, secondNames(), notYet()].join("\n\n") + "\n";
}

const INTRODUCTION =
  `<!-- Made by tools/config_docs.ts from src/cli/config/schema.ts: change that. -->
# Configuration

Every option has a default, so that \`pairdb serve\` runs without any. Where an option is set more than
once, the strongest source wins, option by option:

1. the default
2. the YAML file named by \`--config FILE\` or \`PAIRDB_CONFIG\`
3. the environment: \`PAIRDB_\`, the section and the option in capitals, such as \`PAIRDB_SERVER_PORT\`
4. flags: \`--set server.port=8080\` for any option, and short ones such as \`--listen\` and \`--data\`

\`\`\`yaml
server:
  host: 0.0.0.0
  port: 50052
auth:
  mode: token
commit_log:
  sync_mode: always
\`\`\`

Durations are written \`100ms\`, \`10s\`, \`5m\`, \`168h\` or \`7d\`; a number alone counts milliseconds. Sizes are
written \`4096\`, \`64MiB\` (1024s) or \`64MB\` (1000s). In the environment and in flags, the items of a list
are separated by commas; an empty variable counts as not set.

\`pairdb config print\` prints what is in effect, in a form that can be used as a file;
\`pairdb config validate FILE\` checks a file. An option that is unknown or out of range stops the start,
with its name, its place, and what is accepted.`;

function optionsOf(section: string): string[] {
  const options = [...OPTIONS.values()].filter((option) => option.section === section);
  return options.map((option) =>
    [
      `### ${option.path}`,
      "",
      option.description,
      "",
      `- Default: \`${scalar(option.default)}\``,
      `- Accepts: ${option.expects}`,
      `- Environment: \`${option.variable}\``,
    ].join("\n")
  );
}

function secondNames(): string {
  const lines = Object.entries(ALIASES).map(([path, { option, description }]) =>
    `- \`${path}\` (\`${environmentName(path)}\`) stands for \`${option}\`: ${description}`
  );
  return ["## Second names", ...lines].join("\n\n");
}

function notYet(): string {
  const lines = Object.entries(NOT_YET).map(([path, why]) => `- \`${path}\`: ${why}`);
  return [
    "## Not supported yet",
    "These options of the design documents are refused, rather than taken without effect:",
    lines.join("\n"),
  ].join("\n\n");
}
