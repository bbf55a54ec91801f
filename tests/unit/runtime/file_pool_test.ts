import assert from "node:assert/strict";
import { FilePool, type ReadFile, SimDisk, SimRandom } from "../../../src/runtime/mod.ts";
import { CountingDisk } from "../../support/disk.ts";

function diskOf(count: number): { disk: CountingDisk; sim: SimDisk } {
  const sim = new SimDisk();
  for (let n = 0; n < count; n++) sim.setBytes(`/f${n}`, Uint8Array.of(n & 255, n >> 8));
  return { disk: new CountingDisk(sim), sim };
}

function check(file: ReadFile, n: number): void {
  const bytes = new Uint8Array(2);
  assert.equal(file.readAt(bytes, 0), 2);
  assert.deepEqual([...bytes], [n & 255, n >> 8]);
}

Deno.test("FilePool: 500 readers share 20 descriptors, each reads its own file", () => {
  const { disk } = diskOf(500);
  const pool = new FilePool(disk, 20);
  const files = Array.from({ length: 500 }, (_, n) => pool.openRead(`/f${n}`));
  const random = new SimRandom(1);
  for (let n = 0; n < 5000; n++) {
    const at = random.below(500);
    check(files[at], at);
  }
  assert.equal(disk.most, 20);
  assert.equal(pool.openCount, 20);
  assert.ok(pool.reopened > 4000);
  for (const file of files) file.close();
  assert.equal(disk.open, 0);
  assert.throws(() => check(files[0], 0), { errno: "EOTHER" });
});

Deno.test("FilePool: a file that is read again and again stays open", () => {
  const { disk } = diskOf(100);
  const pool = new FilePool(disk, 10);
  const files = Array.from({ length: 100 }, (_, n) => pool.openRead(`/f${n}`));
  check(files[0], 0);
  const before = pool.reopened;
  for (let n = 1; n < 100; n++) {
    check(files[n], n);
    check(files[0], 0);
  }
  assert.equal(pool.reopened - before, 99, "only the others");
});

Deno.test("FilePool: when the system has no descriptor left, others give theirs, and every call is tried again", () => {
  const { disk, sim } = diskOf(50);
  const pool = new FilePool(disk, 40);
  disk.limit = 8;
  const files = Array.from({ length: 50 }, (_, n) => pool.openRead(`/f${n}`));
  for (let n = 0; n < 50; n++) check(files[n], n);
  assert.ok(pool.relieved > 0);
  for (const op of ["create", "readWhole", "list", "syncDir", "lock"] as const) {
    let failures = 2;
    sim.hook = (call) => call.op === op && failures-- > 0 ? "EMFILE" : undefined;
    if (op === "create") pool.create("/new").close();
    else if (op === "readWhole") assert.equal(pool.readWhole("/f7").length, 2);
    else if (op === "list") assert.equal(pool.list("/").length, 51);
    else if (op === "syncDir") pool.syncDir("/");
    else pool.lock("/LOCK").release();
    for (const n of [1, 2, 3, 4, 5, 6, 7, 8]) check(files[n], n);
  }
  sim.hook = () => "EMFILE";
  assert.throws(() => pool.readWhole("/f1"), { errno: "EMFILE" }, "when nobody has one to give");
});

Deno.test("FilePool: what is being read is not closed", async () => {
  const { disk } = diskOf(3);
  const pool = new FilePool(disk, 1);
  const first = pool.openRead("/f0");
  const bytes = new Uint8Array(2);
  const reading = first.readAtAsync(bytes, 0);
  const second = pool.openRead("/f1");
  assert.equal(disk.open, 2, "over the limit for as long");
  assert.equal(await reading, 2);
  check(pool.openRead("/f2"), 2);
  assert.equal(disk.open, 1);
  check(first, 0);
  check(second, 1);
  assert.equal(disk.open, 1);
});

Deno.test("FilePool: a file that is gone or has another size is an error, not other bytes", () => {
  const { disk, sim } = diskOf(3);
  const pool = new FilePool(disk, 1);
  const [first, second] = [pool.openRead("/f0"), pool.openRead("/f1")];
  check(pool.openRead("/f2"), 2);
  sim.setBytes("/f0", new Uint8Array(3));
  sim.remove("/f1");
  assert.throws(() => check(first, 0), { errno: "EOTHER", message: /3 bytes now, not 2/ });
  assert.throws(() => check(second, 1), { errno: "ENOENT" });
});
