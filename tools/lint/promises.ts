/**
 * Finds promises that nobody holds: a call whose promise is neither awaited, returned, kept, nor given
 * a handler for its failure. Such a failure ends the process (an unhandled rejection), or a write is
 * acknowledged before it happened. `void promise` says that a promise is left alone on purpose.
 *
 * It goes by TypeScript's own types, so it sees through helpers and interfaces. Types of npm packages
 * are not resolved: their calls pass.
 *
 *     deno run -A tools/lint/promises.ts FILE...
 * @module
 */
import ts from "typescript";

/** One promise nobody holds. */
export interface FloatingPromise {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly text: string;
}

/** Looks through `files` (and what they import, to know the types). Paths come back as they went in. */
export function findFloatingPromises(files: readonly string[]): FloatingPromise[] {
  const program = ts.createProgram([...files], {
    allowImportingTsExtensions: true,
    noEmit: true,
    strict: true,
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts", "lib.dom.asynciterable.d.ts"],
    types: [],
    skipLibCheck: true,
  });
  const checker = program.getTypeChecker();
  const found: FloatingPromise[] = [];
  for (const file of files) {
    const source = program.getSourceFile(file);
    if (source === undefined) throw new Error(`Cannot look through ${file}: it cannot be read`);
    const visit = (node: ts.Node): void => {
      if (ts.isExpressionStatement(node) && floats(node.expression, checker)) {
        found.push({
          file,
          line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1,
          text: node.getText(source).split("\n", 1)[0],
        });
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return found;
}

/** Whether an expression, standing alone, drops a promise. */
function floats(expression: ts.Expression, checker: ts.TypeChecker): boolean {
  if (!isPromise(checker.getTypeAtLocation(expression))) return false;
  if (ts.isBinaryExpression(expression)) {
    // `this.#done = work()` and `this.#loop ??= work()` keep it; `ready || work()` does not.
    const operator = expression.operatorToken.kind;
    return operator < ts.SyntaxKind.FirstAssignment || operator > ts.SyntaxKind.LastAssignment;
  }
  if (!ts.isCallExpression(expression)) return !ts.isAwaitExpression(expression);
  const callee = expression.expression;
  if (!ts.isPropertyAccessExpression(callee)) return true;
  const handled = callee.name.text === "catch" ? 1 : callee.name.text === "then" ? 2 : Infinity;
  return expression.arguments.length < handled;
}

/** Whether a value of this type may be a promise. */
function isPromise(type: ts.Type): boolean {
  if ((type.flags & ts.TypeFlags.Any) !== 0) return false;
  if (type.isUnion()) return type.types.some(isPromise);
  return type.getProperty("then") !== undefined;
}

if (import.meta.main) {
  const lines = findFloatingPromises(Deno.args).map(({ file, line, text }) =>
    `${file}:${line}: nobody holds this promise: ${text} ` +
    `(await it, keep it, handle its failure, or say void)\n`
  );
  await new Response(lines.join("")).body!.pipeTo(Deno.stdout.writable);
  if (lines.length > 0) Deno.exit(1);
}
