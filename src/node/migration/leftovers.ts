/**
 * Leftovers: what a migration that did not complete has brought to its target, which stays there. A key of them
 * may die here, and be dropped for good once nobody holds that back: then a migration that goes on, or another
 * one to the same target, could never tell, and the key would stay alive there.
 *
 *     m1   since ├─ copies k ─┤ fails            k dies   dropped
 *     m2                                                           since m1's: something that died was dropped
 *
 * So a new one has to know of all that died since the first of those began that it finds leftovers of.
 * @module
 */
import { compareBytes, utf8 } from "../../model/mod.ts";
import { isOver, type MigrationOrder, type MigrationRecord, sinceOf } from "./records.ts";

/** No tenant's id. */
const EVERY = "";

/**
 * Since which sequence a new migration has to know of what died.
 * @param records  all that are known
 * @param now      where nothing is left of any
 */
export function sinceWhen(
  order: MigrationOrder,
  records: Iterable<MigrationRecord>,
  now: number,
): number {
  const known = [...records].filter(({ order: { target } }) => target === order.target);
  let since = now;
  for (const record of known) {
    if (record.state === "completed" || !meets(record.order, order)) continue;
    if (known.some((later) => clears(later, record))) continue;
    since = Math.min(since, sinceOf(record, order.tenant ?? record.order.tenant ?? EVERY));
  }
  return since;
}

/** Whether two may have keys in common. Tokens are not looked at: nearly all ranges of keys have some of each. */
function meets(a: MigrationOrder, b: MigrationOrder): boolean {
  if (a.tenant !== undefined && b.tenant !== undefined && a.tenant !== b.tenant) return false;
  const isBefore = (end: string, start: string) => end !== "" && compare(end, start) <= 0;
  return !isBefore(a.range.end, b.range.start) && !isBefore(b.range.end, a.range.start);
}

/** Whether one has told the target of all that another has left there: it began later, ended later, and completed. */
function clears(done: MigrationRecord, left: MigrationRecord): boolean {
  return done.state === "completed" && isOver(left) &&
    done.order.createdAtMs >= left.order.createdAtMs && done.endedAtMs >= left.endedAtMs &&
    covers(done.order, left.order);
}

function covers(outer: MigrationOrder, inner: MigrationOrder): boolean {
  if (outer.tenant !== undefined && outer.tenant !== inner.tenant) return false;
  const [{ start, end, tokens }, its] = [outer.range, inner.range];
  if (compare(start, its.start) > 0) return false;
  if (end !== "" && (its.end === "" || compare(its.end, end) > 0)) return false;
  return tokens === undefined || (String(tokens.start) === String(its.tokens?.start) &&
    String(tokens.end) === String(its.tokens?.end));
}

/** In the order of the keys, which is that of their bytes. */
function compare(a: string, b: string): number {
  return compareBytes(utf8(a), utf8(b));
}
