/** The search for floating promises, with some planted. */
import assert from "node:assert/strict";
import { findFloatingPromises } from "../../../tools/lint/promises.ts";

Deno.test("findFloatingPromises() finds dropped promises and no others", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const lib = `${directory}/lib.ts`;
    const file = `${directory}/use.ts`;
    await Deno.writeTextFile(
      lib,
      `export interface Store { close(): Promise<void>; size(): number }
export async function work(): Promise<number> { return await Promise.resolve(1); }
`,
    );
    await Deno.writeTextFile(
      file,
      `import { type Store, work } from "./lib.ts";
export class User {
  kept: Promise<number> | undefined;
  constructor(readonly store: Store) {}
  async run(ready: boolean) {
    work(); // bad: line 6
    this.store.close(); // bad: line 7
    this.store?.close(); // bad: line 8
    work().then((n) => n); // bad: line 9
    work().finally(() => 0); // bad: line 10
    ready || work(); // bad: line 11
    ready ? work() : 0; // bad: line 12
    await work();
    void work();
    this.store.size();
    this.kept = work();
    this.kept ??= work();
    work().catch((e) => e);
    work().then((n) => n, (e) => e);
    await Promise.all([work(), work()]);
    return work();
  }
}
`,
    );
    const found = findFloatingPromises([lib, file]);
    assert.deepEqual(found.map((one) => one.line), [6, 7, 8, 9, 10, 11, 12]);
    assert.equal(found[0].file, file);
    assert.equal(found[0].text, "work(); // bad: line 6".slice(0, 7));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
