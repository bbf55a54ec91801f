/**
 * The house's own lint rules, run by `deno lint` with all the others:
 *   imports         imports go down, and enter a room by its mod.ts (rooms.ts)
 *   ambient         above src/runtime/ nothing reaches for the clock, chance, timers, files or sockets
 *   module-state    nothing that changes lives at the top of a module
 *   empty-catch     no catch block without a statement
 *   ignore-reason   who silences a rule says why: `deno-lint-ignore RULE -- reason`
 * The first three are for src/ and main.ts, the others for all code.
 *
 * The rules see syntax, not types. A parameter called `fetch` or `process` counts as its own thing for
 * the whole file it stands in; `Deno`, `Date`, `Math` and the timers are never taken for local names.
 * @module
 */
import { relative } from "node:path";
import { type Exception, EXCEPTIONS } from "./exceptions.ts";
import { judgeImport, roomOf } from "./rooms.ts";

/** The repository, as an absolute path. */
const ROOT = new URL("../../", import.meta.url).pathname;

/** A node as the ambient rule walks it. */
// deno-lint-ignore no-explicit-any -- nodes of every type pass here, told apart by `type`
type AnyNode = any;

/** The linted file, relative to the repository. */
function fileOf(context: Deno.lint.RuleContext): string {
  const path = context.filename.replace(/^file:\/\//, "");
  return path.startsWith("/") ? relative(ROOT, path) : path;
}

/** What the product is made of, as far as the rules about its shape go. */
function isProduct(file: string): boolean {
  return file === "main.ts" || (file.startsWith("src/") && roomOf(file) !== "gen");
}

const imports: Deno.lint.Rule = {
  create(context) {
    const file = fileOf(context);
    if (!isProduct(file)) return {};
    const judge = (source: AnyNode, lazy = false) => {
      if (typeof source?.value !== "string") return;
      const message = judgeImport(file, source.value, lazy);
      if (message !== undefined) context.report({ node: source, message });
    };
    return {
      ImportDeclaration: (node) => judge(node.source),
      ExportNamedDeclaration: (node) => judge(node.source),
      ExportAllDeclaration: (node) => judge(node.source),
      ImportExpression: (node) => judge(node.source, true),
      TSImportType: (node: AnyNode) => judge(node.argument?.literal ?? node.argument),
    };
  },
};

/** `node:` modules that compute and touch nothing. */
const PURE_MODULES: ReadonlySet<string> = new Set([
  "node:assert",
  "node:assert/strict",
  "node:buffer",
  "node:events",
  "node:path",
  "node:path/posix",
  "node:stream",
  "node:string_decoder",
  "node:util",
  "node:zlib",
]);
/** Protocol libraries: they speak over a socket that they are handed, and open none themselves. */
const PROTOCOL_MODULES: ReadonlySet<string> = new Set(["node:http", "node:http2"]);
const DIALLING_NAMES: ReadonlySet<string> = new Set(["request", "get", "connect", "Agent"]);

/** Globals nobody above floor 0 touches, with what to use instead. */
const AMBIENT: Readonly<Record<string, string>> = {
  Deno: "take it from the Runtime (clock, random, disk, network, workers, log) or the Process",
  performance: "use runtime.clock.monotonicMs()",
  setTimeout: "use runtime.clock.after() or sleep()",
  setInterval: "use runtime.clock.after() again after each turn",
  setImmediate: "use queueMicrotask, or runtime.clock.after(0, …)",
  fetch: "use runtime.network, or take a fetch as an option",
  Worker: "use runtime.workers",
  WebSocket: "use runtime.network",
  WebSocketStream: "use runtime.network",
  EventSource: "use runtime.network",
  process: "use the Process handed to the CLI",
  navigator: "take what you need as an option",
  localStorage: "use runtime.disk",
  sessionStorage: "use runtime.disk",
  caches: "use runtime.disk",
  BroadcastChannel: "use runtime.workers",
  Temporal: "use runtime.clock",
};
/** Members of harmless globals that are not. */
const AMBIENT_MEMBERS: Readonly<Record<string, string>> = {
  "Date.now": "use runtime.clock.wallMs()",
  "Math.random": "use runtime.random",
  "crypto.getRandomValues": "use runtime.random",
  "crypto.randomUUID": "use runtime.random",
  "AbortSignal.timeout": "use an AbortController and runtime.clock.after()",
};
/** Lower-case names that a file may declare for itself. */
const MAY_BE_LOCAL: ReadonlySet<string> = new Set([
  "performance",
  "fetch",
  "process",
  "navigator",
  "caches",
  "crypto",
]);

/** Whether an identifier names a property, a key or the like: no variable is read. */
function isMereName(node: AnyNode): boolean {
  const parent = node.parent;
  switch (parent?.type) {
    case "MemberExpression":
      return parent.property === node && !parent.computed;
    case "Property":
      // In a shorthand `{ fetch }` the same name stands again as the value.
      return parent.key === node && !parent.computed;
    case "MethodDefinition":
    case "PropertyDefinition":
    case "AccessorProperty":
    case "TSPropertySignature":
    case "TSMethodSignature":
    case "TSAbstractMethodDefinition":
    case "TSAbstractPropertyDefinition":
    case "TSEnumMember":
      return (parent.key ?? parent.id) === node && !parent.computed;
    case "TSQualifiedName":
      return parent.right === node;
    case "ImportSpecifier":
      return parent.imported === node && parent.local !== node;
    case "ExportSpecifier":
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
    case "MetaProperty":
      return true;
    default:
      return false;
  }
}

/** Whether an identifier declares what it names. */
function isDeclaration(node: AnyNode): boolean {
  const parent = node.parent;
  switch (parent?.type) {
    case "VariableDeclarator":
    case "ClassDeclaration":
    case "ClassExpression":
    case "TSTypeAliasDeclaration":
    case "TSInterfaceDeclaration":
    case "TSEnumDeclaration":
      return parent.id === node;
    case "FunctionDeclaration":
    case "FunctionExpression":
    case "ArrowFunctionExpression":
    case "TSFunctionType":
    case "TSConstructorType":
    case "TSMethodSignature":
    case "TSCallSignatureDeclaration":
    case "TSDeclareFunction":
    case "TSEmptyBodyFunctionExpression":
      return parent.id === node || (parent.params ?? parent.parameters ?? []).includes(node);
    case "TSParameterProperty":
    case "ImportSpecifier":
    case "ImportDefaultSpecifier":
    case "ImportNamespaceSpecifier":
    case "RestElement":
    case "ArrayPattern":
      return true;
    case "CatchClause":
      return parent.param === node;
    case "AssignmentPattern":
      return parent.left === node;
    case "Property":
      return parent.value === node && parent.parent?.type === "ObjectPattern";
    default:
      return false;
  }
}

/** Whether an identifier stands where a type is meant. */
function isType(node: AnyNode): boolean {
  return ["TSTypeReference", "TSTypeQuery", "TSClassImplements", "TSInterfaceHeritage"]
    .includes(node.parent?.type);
}

/** What ambient thing a read of a global is; undefined when it is none. */
function ambientUse(node: AnyNode): { use: string; instead: string } | undefined {
  const parent = node.parent;
  const member = parent?.type === "MemberExpression" && parent.object === node
    ? (parent.computed ? parent.property.value : parent.property.name)
    : undefined;
  if (node.name === "globalThis" || node.name === "self" || node.name === "window") {
    return Object.hasOwn(AMBIENT, member ?? "")
      ? { use: member, instead: AMBIENT[member] }
      : undefined;
  }
  if (node.name === "Date") {
    const now = { use: "new Date()", instead: "use runtime.clock.wallMs()" };
    if (parent?.type === "CallExpression" && parent.callee === node) return now;
    if (parent?.type === "NewExpression" && parent.callee === node && !parent.arguments.length) {
      return now;
    }
  }
  if (Object.hasOwn(AMBIENT, node.name)) {
    if (isType(node) && node.name !== "Deno") return undefined;
    return { use: node.name, instead: AMBIENT[node.name] };
  }
  const use = `${node.name}.${member}`;
  return Object.hasOwn(AMBIENT_MEMBERS, use) ? { use, instead: AMBIENT_MEMBERS[use] } : undefined;
}

/** The ambient rule with its list of exceptions, which tests replace. */
export function ambientRule(exceptions: readonly Exception[]): Deno.lint.Rule {
  return {
    create(context) {
      const file = fileOf(context);
      if (!isProduct(file) || roomOf(file) === "runtime") return {};
      const room = roomOf(file) ?? file;
      const exception = exceptions.find((one) => one.file === file);
      const unused = new Set(exception?.uses);
      const declared = new Set<string>();
      const found: { node: AnyNode; use: string; instead: string; name: string }[] = [];
      const meet = (node: AnyNode, use: string, instead: string, name = use) => {
        if (exception?.uses.includes(use)) unused.delete(use);
        else found.push({ node, use, instead, name });
      };
      let speaksHttp = false;
      return {
        Identifier(node: AnyNode) {
          if (isMereName(node)) return;
          if (isDeclaration(node)) {
            if (MAY_BE_LOCAL.has(node.name)) declared.add(node.name);
            return;
          }
          const ambient = ambientUse(node);
          if (ambient !== undefined) meet(node, ambient.use, ambient.instead, node.name);
        },
        ImportDeclaration(node: AnyNode) {
          const module: string = node.source.value;
          if (!module.startsWith("node:") || node.importKind === "type") return;
          const names = node.specifiers.filter((one: AnyNode) => one.importKind !== "type");
          if (node.specifiers.length > 0 && names.length === 0) return;
          if (PROTOCOL_MODULES.has(module)) {
            speaksHttp = true;
            for (const one of names) {
              const name = one.imported?.name;
              if (!DIALLING_NAMES.has(name)) continue;
              meet(one, `${module} ${name}`, "connections are made by runtime.network");
            }
          } else if (!PURE_MODULES.has(module)) {
            meet(node.source, module, "the runtime has what this module does");
          }
        },
        ImportExpression(node: AnyNode) {
          const module = node.source.value;
          if (typeof module !== "string" || !module.startsWith("node:")) return;
          if (!PURE_MODULES.has(module) && !PROTOCOL_MODULES.has(module)) {
            meet(node.source, module, "the runtime has what this module does");
          }
        },
        CallExpression(node: AnyNode) {
          // In a file that speaks HTTP, only the runtime's network listens.
          const callee = node.callee;
          if (!speaksHttp || callee.type !== "MemberExpression" || callee.computed) return;
          if (callee.property.name !== "listen") return;
          const owner = callee.object.property?.name ?? callee.object.name;
          if (owner === "network" || owner === "#network") return;
          meet(
            node,
            "listen",
            "ports are bound by runtime.network, which hands each connection over",
          );
        },
        "Program:exit"(program: AnyNode) {
          for (const { node, use, instead, name } of found) {
            if (declared.has(name)) continue;
            context.report({
              node,
              message:
                `${use} above src/runtime/ (in ${room}): ${instead}. Nothing up here touches the world by itself`,
            });
          }
          for (const use of unused) {
            context.report({
              range: [program.range[0], program.range[0]],
              message: `${file} does not use ${use} any more: take it off tools/lint/exceptions.ts`,
            });
          }
        },
      };
    },
  };
}

/** Containers that, made empty, are there to be filled. */
const CONTAINERS: ReadonlySet<string> = new Set(["Map", "Set", "WeakMap", "WeakSet"]);

const moduleState: Deno.lint.Rule = {
  create(context) {
    if (!isProduct(fileOf(context))) return {};
    const wayOut = "an Engine, a Node, a Cluster is an object; keep this in one";
    return {
      Program(program: AnyNode) {
        for (const statement of program.body) {
          const declaration = statement.declaration ?? statement;
          if (declaration?.type !== "VariableDeclaration" || declaration.declare) continue;
          if (declaration.kind !== "const") {
            context.report({
              node: declaration,
              message: `module-level ${declaration.kind}: ${wayOut}`,
            });
            continue;
          }
          for (const { init } of declaration.declarations) {
            const empty = init?.type === "NewExpression" && CONTAINERS.has(init.callee.name) &&
              init.arguments.length === 0;
            if (!empty) continue;
            context.report({
              node: init,
              message:
                `module-level empty ${init.callee.name}: ${wayOut}; a fixed table is built in one expression`,
            });
          }
        }
      },
      PropertyDefinition(node: AnyNode) {
        if (!node.static || node.readonly) return;
        context.report({
          node,
          message: `static field that can change: ${wayOut}, or add readonly`,
        });
      },
    };
  },
};

const emptyCatch: Deno.lint.Rule = {
  create(context) {
    return {
      CatchClause(node: AnyNode) {
        if (node.body.body.length > 0) return;
        context.report({
          node,
          message: "empty catch: handle the failure, count it, or let it through",
        });
      },
    };
  },
};

const ignoreReason: Deno.lint.Rule = {
  create(context) {
    return {
      Program() {
        for (const comment of context.sourceCode.getAllComments()) {
          if (!/^\s*deno-lint-ignore(-file)?\b/.test(comment.value)) continue;
          if (/ -- \S+/.test(comment.value)) continue;
          context.report({
            range: comment.range,
            message: "a silenced rule without a reason: write `deno-lint-ignore RULE -- reason`",
          });
        }
      },
    };
  },
};

/** The plugin that deno.json names. */
const plugin: Deno.lint.Plugin = {
  name: "pairdb",
  rules: {
    imports,
    ambient: ambientRule(EXCEPTIONS),
    "module-state": moduleState,
    "empty-catch": emptyCatch,
    "ignore-reason": ignoreReason,
  },
};
export default plugin;
