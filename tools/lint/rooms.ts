/**
 * The import rule: which file of the house may import which.
 *
 * A room is a folder of `src/`, and each stands on a floor. Imports stay in their room or go down, and
 * enter another room by its `mod.ts`. A folder inside a room is a room of its own: from outside the
 * room nobody reaches it but through the outer `mod.ts`, and its neighbours use its own `mod.ts`.
 * ARCHITECTURE.md has the same table for people.
 * @module
 */
import { posix } from "node:path";

/** Each room's floor. `gen` is generated code: it has no mod.ts and is entered by file. */
export const FLOORS: Readonly<Record<string, number>> = {
  runtime: 0,
  model: 1,
  gen: 1,
  engine: 2,
  node: 3,
  cluster: 4,
  shards: 4,
  rpc: 5,
  web: 5,
  client: 6,
  embedded: 6,
  cli: 7,
};

/** Neighbours on one floor that may use each other's door. */
const SIDEWAYS: Readonly<Record<string, readonly string[]>> = {
  // One port serves both: the RPC server hands requests that are no RPC to the web app.
  rpc: ["web"],
};

/** Rooms that see less than their floor would let them. */
const ONLY: Readonly<Record<string, { rooms: readonly string[]; why: string }>> = {
  client: {
    rooms: ["model", "gen"],
    why: "the SDK runs where there is no server: it sees the model and generated code only",
  },
  embedded: {
    rooms: ["runtime", "model", "gen", "engine", "node", "cluster", "shards"],
    why: "an embedded node has no network: it cannot see rpc and web",
  },
};

/** The room a file of src/ is in; undefined for files beside or outside src/. */
export function roomOf(file: string): string | undefined {
  const [top, room, rest] = file.split("/", 3);
  return top === "src" && rest !== undefined ? room : undefined;
}

/** The folder of `src/a/b/c.ts` inside its room: `b`; the empty string for `src/a/c.ts`. */
function nestedFolder(file: string): string {
  return file.split("/").slice(2, -1).join("/");
}

/** True when `folder` is `within` or lies in it. */
function isInside(folder: string, within: string): boolean {
  return within === "" || folder === within || folder.startsWith(`${within}/`);
}

/** The outermost folder of the room that holds `to` and not `from`; undefined when there is none. */
function foreignFolder(from: string, to: string): string | undefined {
  const here = nestedFolder(from);
  const parts = nestedFolder(to).split("/");
  for (let depth = 1; depth <= parts.length; depth++) {
    const folder = parts.slice(0, depth).join("/");
    if (!isInside(here, folder)) return folder;
  }
  return undefined;
}

/**
 * Judges one import.
 * @param from       the importing file, relative to the repository: `src/engine/wal/log.ts` or `main.ts`
 * @param specifier  what stands in the import
 * @param lazy       it is an `await import()`: inside its room it may name a file, for a door that
 *   loads everything would load it at once
 * @returns what is wrong and the way out; undefined when nothing is
 */
export function judgeImport(from: string, specifier: string, lazy = false): string | undefined {
  if (!specifier.startsWith("./") && !specifier.startsWith("../")) return undefined;
  const to = posix.normalize(posix.join(posix.dirname(from), specifier));
  const fromRoom = roomOf(from);
  const toRoom = roomOf(to);
  if (toRoom === undefined) {
    // The program's own manifest holds its version.
    if (to === "deno.json" || fromRoom === undefined) return undefined;
    return `${
      name(fromRoom)
    } imports ${to}, which is outside src/: nothing in src/ leans on main.ts, ` +
      `tests, tools or benches; move what is shared into a room below`;
  }
  if (!Object.hasOwn(FLOORS, toRoom)) {
    return `${to} is in no room of the house: give src/${toRoom}/ a floor in tools/lint/rooms.ts and ARCHITECTURE.md`;
  }
  if (fromRoom === toRoom) return lazy ? undefined : judgeInside(from, to);
  if (fromRoom !== undefined) {
    if (!Object.hasOwn(FLOORS, fromRoom)) {
      return `${from} is in no room of the house: give src/${fromRoom}/ a floor in tools/lint/rooms.ts and ARCHITECTURE.md`;
    }
    const only = ONLY[fromRoom];
    if (FLOORS[toRoom] > FLOORS[fromRoom]) {
      return `${name(fromRoom)} imports ${
        name(toRoom)
      }, above it: declare the small interface that ` +
        `${fromRoom} needs in ${fromRoom}, and let cli hand one in`;
    }
    if (only !== undefined && !only.rooms.includes(toRoom)) {
      return `${name(fromRoom)} imports ${name(toRoom)}: ${only.why}`;
    }
    if (FLOORS[toRoom] === FLOORS[fromRoom] && !SIDEWAYS[fromRoom]?.includes(toRoom)) {
      return `${name(fromRoom)} imports ${
        name(toRoom)
      }, sideways: move what both need to a floor below, ` +
        `or take it as an interface that cli hands in`;
    }
  }
  if (toRoom !== "gen" && to !== `src/${toRoom}/mod.ts`) {
    const who = fromRoom === undefined ? from : name(fromRoom);
    return `${who} imports ${to}, past the door of ${name(toRoom)}: import src/${toRoom}/mod.ts, ` +
      `and export there what others may use`;
  }
  return undefined;
}

/** Judges an import that stays in its room. */
function judgeInside(from: string, to: string): string | undefined {
  const folder = foreignFolder(from, to);
  const room = roomOf(to)!;
  if (folder === undefined || room === "gen" || to === `src/${room}/${folder}/mod.ts`) {
    return undefined;
  }
  return `${
    from.split("/").slice(1, -1).join("/")
  } imports ${to}, past the door of ${room}/${folder}: ` +
    `import src/${room}/${folder}/mod.ts, and export there what its neighbours may use`;
}

/** `floor 2 (engine)`. */
function name(room: string): string {
  return `floor ${FLOORS[room] ?? "?"} (${room})`;
}
