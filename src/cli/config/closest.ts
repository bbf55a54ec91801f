/**
 * "Did you mean": the known name nearest to a mistyped one.
 * @module
 */

/** The candidate with the fewest edits from `text`; undefined when none is near (a third of its length). */
export function closest(text: string, candidates: Iterable<string>): string | undefined {
  // The comparison costs length times length: nobody mistypes a name into a page of text.
  if (text.length > 64) return undefined;
  let best: string | undefined;
  let fewest = Math.floor(text.length / 3) + 1;
  for (const candidate of candidates) {
    const edits = distance(text, candidate);
    if (edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  }
  return best;
}

/** Insertions, removals and replacements from one text to the other (Levenshtein), one row at a time. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(
        next[j - 1] + 1,
        row[j] + 1,
        row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    }
    row = next;
  }
  return row[b.length];
}
