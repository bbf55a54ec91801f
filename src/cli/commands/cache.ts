/**
 * `pairdb cache invalidate|fill TENANT [--key K | --prefix P]`: a node's caches, by hand.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import { connect, print, type Shell, UsageError } from "../shell.ts";

/**
 * Takes keys out of the caches, or puts them into the shared one.
 * @throws PairError Unavailable (2001) when the shared cache did not do all of it
 */
export async function changeCache(
  shell: Shell,
  verb: "invalidate" | "fill",
  tenant: string,
  { key, prefix }: { readonly key?: string; readonly prefix?: string },
): Promise<number> {
  if (key !== undefined && prefix !== undefined) {
    throw new UsageError("cache --key and --prefix do not go together");
  }
  const db = await connect(shell);
  const range = { ...(key === undefined ? {} : { key }), ...(prefix && { prefix }) };
  const change = verb === "fill"
    ? await db.admin.fillCache(tenant, range)
    : await db.admin.invalidateCache(tenant, range);
  const { keys, sharedCache } = change;
  if (sharedCache === "failed") {
    throw new PairError("Unavailable", `Cannot ${verb} all: the shared cache did not answer`, {
      keys,
    });
  }
  const shared = sharedCache === "none"
    ? "there is no shared cache"
    : "the shared cache has done it";
  print(shell, `OK: ${keys} keys; ${shared}`, { keys, shared_cache: sharedCache });
  return 0;
}
