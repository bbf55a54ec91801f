/**
 * The scrub of the real program, on a real disk: a byte of a table of a running node is flipped, and the
 * node finds it, says so everywhere, and says so again after a restart, until the table is repaired.
 * @module
 */
import assert from "node:assert/strict";
import { PairDB } from "../../src/client/mod.ts";
import { runProgram, Server, withDirectory } from "../support/server.ts";

/** So that a round comes about every third second. */
const FAST = ["--set", "scrub.interval=4s", "--set", "mem_table.max_size=64KiB"];

/** Asks until the answer is the one that is waited for; the node's own pace bounds it. */
async function eventually<T>(
  what: string,
  ask: () => Promise<T>,
  is: (answer: T) => boolean,
): Promise<T> {
  const endMs = performance.now() + 60_000;
  for (;;) {
    const answer = await ask();
    if (is(answer)) return answer;
    assert.ok(performance.now() < endMs, `${what}: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, "m").exec(text)?.[1]);
}

/** The largest table of a data directory. */
function largestTable(data: string): string {
  const tables = [...Deno.readDirSync(`${data}/tenants`)].flatMap(({ name: dir }) =>
    [...Deno.readDirSync(`${data}/tenants/${dir}`)].map(({ name }) =>
      `${data}/tenants/${dir}/${name}`
    )
  );
  return tables.sort((a, b) => Deno.statSync(b).size - Deno.statSync(a).size)[0];
}

function flip(path: string, offset: number): void {
  using file = Deno.openSync(path, { read: true, write: true });
  const byte = new Uint8Array(1);
  file.seekSync(offset, Deno.SeekMode.Start);
  file.readSync(byte);
  byte[0] ^= 1;
  file.seekSync(offset, Deno.SeekMode.Start);
  file.writeSync(byte);
}

Deno.test("a flipped byte of a table of a running node is found by the scrub, and named everywhere until it is repaired [R6, B6]", async () => {
  await withDirectory(async (data) => {
    let server = await Server.start({ data, args: FAST });
    let db = PairDB.connect(server.url);
    for (let i = 0; i < 2000; i += 100) {
      const items = Array.from(
        { length: 100 },
        (_, k) => ({ key: `k${i + k}`, value: `value ${i + k}`.repeat(10) }),
      );
      await db.batchPut("shop", items);
    }
    await db.admin.flush();
    await db.admin.compact();
    const rounds = () => metric(server.url, "pairdb_scrub_rounds_total");
    // From here on a whole round without a word of damage.
    const before = await rounds();
    await eventually("a round", rounds, (now) => now >= before + 2);
    assert.equal((await db.admin.listJobs()).scrub.damaged.length, 0);
    assert.equal(await metric(server.url, "pairdb_scrub_damaged_tables"), 0);

    const table = largestTable(data);
    const sound = Deno.readFileSync(table);
    flip(table, Math.floor(sound.length / 2));
    const damagedIn = async () => (await db.admin.listJobs({ ended: true })).scrub.damaged;
    const [damaged] = await eventually("damage", damagedIn, ({ length }) => length > 0);
    assert.deepEqual([damaged.file, damaged.tenant], [table, "shop"]);
    for (const again of [false, true]) {
      if (again) {
        assert.equal(await server.stop(), 0);
        server = await Server.start({ data, args: FAST });
        db = PairDB.connect(server.url);
      }
      const { status, reasons } = await db.admin.status();
      assert.equal(status, "degraded");
      assert.ok(
        reasons.some((reason) => reason.includes(`a scrub found ${table} damaged`)),
        reasons.join("; "),
      );
      assert.equal(await metric(server.url, "pairdb_scrub_damaged_tables"), 1);
      const health = await runProgram("health", "--server", server.url);
      assert.equal(health.code, 1);
      assert.match(health.out + health.err, /a scrub found .* damaged/);
      // It serves all the same.
      const ready = await fetch(`${server.url}/readyz`);
      assert.equal(ready.status, 200);
      await ready.body?.cancel();
      await db.put("shop", "written after", "damage was found");
    }
    const jobs = await runProgram("jobs", "--ended", "--output", "json", "--server", server.url);
    assert.equal(jobs.code, 0, jobs.err);
    const told = JSON.parse(jobs.out);
    assert.deepEqual(told.scrub.damaged.map(({ file }: { file: string }) => file), [table]);
    assert.equal(told.scrub.interval_ms, 4000);
    assert.equal(told.quiet_until_ms, null);

    // Put right, from a copy.
    assert.equal(await server.stop(), 0);
    Deno.writeFileSync(table, sound);
    server = await Server.start({ data, args: FAST });
    db = PairDB.connect(server.url);
    await eventually("nothing more", damagedIn, ({ length }) => length === 0);
    const now = await db.admin.status();
    assert.deepEqual([now.status, now.reasons], ["healthy", []]);
    const jobsNow = async () => (await db.admin.listJobs({ ended: true })).jobs;
    await eventually(
      "a round that is over",
      jobsNow,
      (jobs) => jobs.some(({ kind, state }) => kind === "scrub" && state === "completed"),
    );
    assert.equal(await server.stop(), 0);
  });
});

Deno.test("pairdb scrub finds damage at once, and that it was repaired, with days to go to the next round [B6]", async () => {
  await withDirectory(async (data) => {
    let server = await Server.start({ data });
    let db = PairDB.connect(server.url);
    await db.put("shop", "k", "v".repeat(10_000));
    await db.admin.flush();
    const table = largestTable(data);
    const sound = Deno.readFileSync(table);
    flip(table, 100);
    const scrub = async () => {
      const { code, out, err } = await runProgram("scrub", "--server", server.url);
      assert.deepEqual([code, out], [0, "begun: pairdb jobs tells how far it is\n"], err);
    };
    const damagedIn = async () => (await db.admin.listJobs()).scrub.damaged;
    await scrub();
    const [{ file }] = await eventually("damage", damagedIn, ({ length }) => length > 0);
    assert.equal(file, table);

    assert.equal(await server.stop(), 0);
    Deno.writeFileSync(table, sound);
    server = await Server.start({ data });
    db = PairDB.connect(server.url);
    assert.equal((await damagedIn()).length, 1, "nobody has looked yet");
    await scrub();
    await eventually("nothing more", damagedIn, ({ length }) => length === 0);
    assert.equal((await db.admin.status()).status, "healthy");
    assert.equal(await server.stop(), 0);

    server = await Server.start({ data, args: ["--set", "scrub.interval=0ms"] });
    const { code, err } = await runProgram("scrub", "--server", server.url);
    assert.equal(code, 1);
    assert.match(err, /^error: .*scrub\.interval is 0.* \(code 1000 InvalidArgument\)\n$/);
    assert.equal(await server.stop(), 0);
  });
});

Deno.test("jobs: a node in its quiet hours says until when they are [B6]", async () => {
  await withDirectory(async (data) => {
    // From an hour ago to in two hours: now, whenever this runs.
    const time = (hours: number) => new Date(Date.now() + hours * 3_600_000);
    const until = time(2);
    const text = `${time(-1).toISOString().slice(11, 16)}-${until.toISOString().slice(11, 16)}`;
    const args = ["--set", `background.quiet_hours=${text}`];
    const server = await Server.start({ data, args });
    const jobs = await runProgram("jobs", "--output", "json", "--server", server.url);
    assert.equal(JSON.parse(jobs.out).quiet_until_ms, until.setUTCSeconds(0, 0));
    assert.equal(await server.stop(), 0);
  });
});
