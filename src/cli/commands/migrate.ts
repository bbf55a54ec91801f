/**
 * `pairdb migrate start|list|cancel` and `pairdb drain`: moving data to another node.
 *
 * The node does the work, and goes on with it whatever happens to this command; with `--wait`, and for a
 * drain, the command looks on until it is over.
 * @module
 */
import type { Migration, PairDB } from "../../client/mod.ts";
import { PairError } from "../../model/mod.ts";
import { denoClock } from "../../runtime/mod.ts";
import { connect, print, type Shell, UsageError } from "../shell.ts";
import { table } from "../table.ts";
import { roughSize } from "../units.ts";

/** Flags of `migrate start`. */
export interface MigrateFlags {
  readonly to: string;
  readonly id?: string;
  readonly start?: string;
  readonly end?: string;
  readonly tokens?: string;
  readonly wait?: boolean;
}

/** Flags of `drain`. */
export interface DrainFlags {
  readonly to?: string;
  readonly cancel?: boolean;
  readonly detach?: boolean;
}

/** From one look to the next, ms. */
const LOOK_MS = 250;

/** Starts a migration. */
export async function startMigration(
  shell: Shell,
  tenant: string | undefined,
  { to, id, start, end, tokens, wait = false }: MigrateFlags,
): Promise<number> {
  const range = { id, tenant, start, end, tokens: tokens === undefined ? undefined : ring(tokens) };
  const db = await connect(shell);
  let migration = await db.admin.startMigration(to, range);
  if (wait) {
    const { id } = migration;
    migration = await over(async () => {
      const found = (await db.admin.listMigrations()).find((each) => each.id === id);
      if (found !== undefined) return found;
      throw new PairError("Internal", "Cannot find the migration: the node has forgotten it");
    });
  }
  return tell(shell, migration, `migration ${migration.id} to ${migration.target}`);
}

/** Prints migrations. */
export async function listMigrations(shell: Shell): Promise<number> {
  const migrations = await (await connect(shell)).admin.listMigrations();
  const headings = ["id", "target", "tenant", "state", "copied", "written", "resent", "error"];
  const rows = migrations.map((each) => [
    each.id,
    each.target,
    each.tenant,
    each.draining ? `${each.state}, draining` : each.state,
    `${each.keysCopied} (${roughSize(each.bytesCopied)})`,
    written(each),
    `${each.keysResent}`,
    each.error,
  ]);
  const lines = shell.output === "json" || rows.length === 0
    ? []
    : table(shell.process, headings, rows);
  print(shell, lines, migrations.map(fields));
  return 0;
}

/** Ends a migration. */
export async function cancelMigration(shell: Shell, id: string): Promise<number> {
  const migration = await (await connect(shell)).admin.cancelMigration(id);
  print(shell, `${id}: ${migration.state}`, fields(migration));
  return 0;
}

/** Drains a node, ends its drain, or says how far it is. */
export async function drain(shell: Shell, flags: DrainFlags): Promise<number> {
  const { to, cancel = false, detach = false } = flags;
  if (cancel && to !== undefined) throw new UsageError("--cancel and --to exclude each other");
  const db = await connect(shell);
  if (cancel) {
    const { migration } = await db.admin.cancelDrain();
    print(shell, "the node takes writes again", { drained: false, ...fields(migration) });
    return 0;
  }
  return await drainTo(shell, db, to, detach || to === undefined);
}

async function drainTo(
  shell: Shell,
  db: PairDB,
  to: string | undefined,
  detach: boolean,
): Promise<number> {
  let answer = await db.admin.drain(to);
  if (!detach) {
    await over(async () => {
      answer = await db.admin.drain(undefined);
      return answer.migration;
    });
  }
  const { drained, migration } = answer;
  const what = drained ? `drained to ${migration.target}` : `draining to ${migration.target}`;
  return tell(shell, migration, what, { drained });
}

/** Looks until it is over. */
async function over(look: () => Promise<Migration>): Promise<Migration> {
  const clock = denoClock();
  for (;;) {
    const migration = await look();
    if (migration.state === "completed" || migration.state === "failed") return migration;
    await clock.sleep(LOOK_MS);
  }
}

/** Says how far it is. @throws PairError Unavailable (2001) when it has failed */
function tell(shell: Shell, migration: Migration, what: string, more = {}): number {
  const { state, keysCopied, bytesCopied, keysStreamed, piecesCompared, keysResent } = migration;
  print(shell, [
    `${what}: ${state}; ${keysCopied} keys (${roughSize(bytesCopied)}) copied, ` +
    `${keysStreamed} sent that were written meanwhile, ` +
    `${piecesCompared} parts compared, ${keysResent} keys sent again`,
  ], { ...more, ...fields(migration) });
  if (state !== "failed") return 0;
  throw new PairError("Unavailable", `The migration has failed: ${migration.error}`, {});
}

/** `FROM:TO`, 32 hexadecimal digits each. */
function ring(text: string): { start: Uint8Array; end: Uint8Array } {
  const [, start, end] = /^([0-9a-fA-F]{32}):([0-9a-fA-F]{32})$/.exec(text) ?? [];
  if (start === undefined) {
    throw new UsageError("--tokens is not of the form FROM:TO, with 32 hexadecimal digits each");
  }
  return { start: Uint8Array.fromHex(start), end: Uint8Array.fromHex(end) };
}

/** Keys that clients wrote meanwhile, and whether there will be an end of them. */
function written({ keysStreamed, pendingKeys, fallsBehind, rescans }: Migration): string {
  const more = [`${pendingKeys} wait`];
  if (fallsBehind) more.push("falls behind");
  if (rescans > 0) more.push(`compared again ${rescans} times`);
  return `${keysStreamed} (${more.join(", ")})`;
}

function fields(migration: Migration) {
  const { tokens } = migration;
  return {
    id: migration.id,
    target: migration.target,
    tenant: migration.tenant,
    start: migration.start,
    end: migration.end,
    tokens: tokens === undefined ? null : `${tokens.start.toHex()}:${tokens.end.toHex()}`,
    state: migration.state,
    draining: migration.draining,
    created_at_ms: migration.createdAtMs,
    ended_at_ms: migration.endedAtMs ?? null,
    pending_keys: migration.pendingKeys,
    falls_behind: migration.fallsBehind,
    error: migration.error,
    keys_copied: migration.keysCopied,
    bytes_copied: migration.bytesCopied,
    keys_streamed: migration.keysStreamed,
    bytes_streamed: migration.bytesStreamed,
    pieces_compared: migration.piecesCompared,
    pieces_resent: migration.piecesResent,
    keys_resent: migration.keysResent,
    rescans: migration.rescans,
    retries: migration.retries,
  };
}
