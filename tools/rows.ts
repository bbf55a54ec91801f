/**
 * `deno task rows [--missing | --check]`: the rows of docs/rows.md, the tests that cite them, and the
 * rows that no test cites.
 *
 *   --missing  only the rows without a test
 *   --check    only what is wrong with the list or a citation; nothing when all is well
 *
 * The exit code is 1 when something is wrong: a citation of a row that is not in the list, one in
 * another form, or two rows of one ID. A row without a test is no error.
 *
 * A test cites rows at the end of its name: `"a full disk is emptied [D4, X17]"`. So does a step. What
 * counts are names that stand in the source where the test is declared, so a template in a loop counts
 * as one test.
 * @module
 */
import ts from "typescript";

/** One row of the list. */
export interface Row {
  readonly id: string;
  readonly text: string;
  /** The heading that it stands under. */
  readonly section: string;
}

/** One test, or step, that cites rows. */
export interface Citation {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly ids: readonly string[];
}

/** What was found, and what is wrong with it: lines for people. */
export interface Found<T> {
  readonly found: readonly T[];
  readonly problems: readonly string[];
}

/** The form of a citation: ` [D4, X17]` at the end of a name. */
const CITATION = / \[([A-Z]\d+(?:, [A-Z]\d+)*)\]$/;
/** What is meant as a citation, in whatever form and place. */
const ATTEMPT = /\[\s*[A-Za-z]\d+(?:[\s,;/]+[A-Za-z]\d+)*\s*\]/;

/** Reads the list. @param file  its name, for the problems */
export function readRows(markdown: string, file: string): Found<Row> {
  const found: Row[] = [];
  const problems: string[] = [];
  let section = "";
  for (const [index, line] of markdown.split("\n").entries()) {
    section = /^## (.+)$/.exec(line)?.[1] ?? section;
    const [, id, text] = /^- ([A-Z]\d+) (.+)$/.exec(line) ?? [];
    if (id !== undefined) {
      if (found.some((row) => row.id === id)) {
        problems.push(`${file}:${index + 1}: ${id} is there already`);
      } else found.push({ id, text, section });
    } else if (/^ {2,}\S/.test(line) && found.length > 0) {
      const last = found.pop()!;
      found.push({ ...last, text: `${last.text} ${line.trim()}` });
    }
  }
  return { found, problems };
}

/** Finds the citations in one file's source. */
export function findCitations(source: string, file: string): Found<Citation> {
  const found: Citation[] = [];
  const problems: string[] = [];
  // Most files cite nothing, and parsing is what takes the time.
  if (!ATTEMPT.test(source)) return { found, problems };
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.ESNext);
  const visit = (node: ts.Node): void => {
    const name = ts.isCallExpression(node) ? nameOf(node, tree) : undefined;
    if (name !== undefined) {
      const line = tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
      const ids = CITATION.exec(name)?.[1].split(", ") ?? [];
      if (ATTEMPT.test(name.replace(CITATION, ""))) {
        problems.push(`${file}:${line}: rows are cited at the end of a name, like " [D4, X17]"`);
      }
      if (new Set(ids).size < ids.length) problems.push(`${file}:${line}: cites a row twice`);
      if (ids.length > 0) found.push({ file, line, ids });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return { found, problems };
}

/** The name that a call gives to a test or a step, as it stands in the source, without its quotes. */
function nameOf(call: ts.CallExpression, tree: ts.SourceFile): string | undefined {
  if (!/^Deno\.test\b|\.step$/.test(call.expression.getText(tree))) return undefined;
  const [first] = call.arguments;
  if (first === undefined) return undefined;
  if (!ts.isObjectLiteralExpression(first)) return textOf(first, tree);
  const name = first.properties.find((one) => one.name?.getText(tree) === "name");
  return name !== undefined && ts.isPropertyAssignment(name)
    ? textOf(name.initializer, tree)
    : undefined;
}

function textOf(expression: ts.Expression, tree: ts.SourceFile): string | undefined {
  const isText = ts.isStringLiteralLike(expression) || ts.isTemplateExpression(expression);
  return isText ? expression.getText(tree).slice(1, -1) : undefined;
}

/** What is wrong between the list and the citations. */
export function findUnknown(rows: readonly Row[], citations: readonly Citation[]): string[] {
  const known = new Set(rows.map(({ id }) => id));
  return citations.flatMap(({ file, line, ids }) =>
    ids.filter((id) => !known.has(id)).map((id) => `${file}:${line}: there is no row ${id}`)
  );
}

/** Each row with its tests' files, then those without any, then a count. */
export function report(rows: readonly Row[], citations: readonly Citation[]): string[] {
  const lines: string[] = [];
  for (const section of new Set(rows.map((row) => row.section))) {
    lines.push(section);
    for (const { id, text } of rows.filter((row) => row.section === section)) {
      const of = citations.filter(({ ids }) => ids.includes(id));
      const files = [...new Set(of.map(({ file }) => file))].sort();
      const indent = " ".repeat(14);
      lines.push(`  ${id.padEnd(4)} ${String(of.length).padStart(4)}   ${text}`);
      lines.push(...files.map((file) => `${indent}${file}`));
    }
  }
  return [...lines, "", ...reportMissing(rows, citations)];
}

/** The rows that nothing cites, and a count. */
export function reportMissing(rows: readonly Row[], citations: readonly Citation[]): string[] {
  const cited = new Set(citations.flatMap(({ ids }) => ids));
  const missing = rows.filter(({ id }) => !cited.has(id));
  return [
    ...(missing.length > 0 ? ["without a test:"] : []),
    ...missing.map(({ id, text }) => `  ${id.padEnd(4)} ${text}`),
    `${rows.length} rows, ${rows.length - missing.length} with a test, ${missing.length} without`,
  ];
}

/** All TypeScript files below a directory, by path. */
function sources(directory: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory) return sources(path);
    return entry.name.endsWith(".ts") ? [path] : [];
  }).sort();
}

if (import.meta.main) {
  const [mode, ...rest] = Deno.args;
  if (rest.length > 0 || ![undefined, "--missing", "--check"].includes(mode)) {
    await Deno.stderr.write(new TextEncoder().encode("usage: rows [--missing | --check]\n"));
    Deno.exit(2);
  }
  Deno.chdir(new URL("../", import.meta.url).pathname);
  const list = "docs/rows.md";
  const rows = readRows(Deno.readTextFileSync(list), list);
  const files = sources("tests").map((file) => findCitations(Deno.readTextFileSync(file), file));
  const citations = files.flatMap(({ found }) => found);
  const problems = [
    ...rows.problems,
    ...files.flatMap((file) => file.problems),
    ...findUnknown(rows.found, citations),
  ];
  const lines = mode === "--check"
    ? []
    : mode === "--missing"
    ? reportMissing(rows.found, citations)
    : report(rows.found, citations);
  const text = [...lines, ...problems].map((line) => `${line}\n`).join("");
  await new Response(text).body!.pipeTo(Deno.stdout.writable);
  if (problems.length > 0) Deno.exit(1);
}
