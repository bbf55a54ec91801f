/**
 * The worker of supervision_test.ts: does table jobs, unless a file `misbehave` in the data directory says how
 * to go wrong. It then takes the file away, begins the job's table, and goes wrong; the next job is done well.
 * @module
 */
import { type EngineJob, runEngineJob } from "../../src/engine/mod.ts";
import { denoDisk, serveWorker } from "../../src/runtime/mod.ts";

const disk = denoDisk();

serveWorker((message) => {
  const job = message as EngineJob;
  if ("firstOutput" in job) {
    const order = `${job.dir}/../../misbehave`;
    if (disk.stat(order) !== undefined) {
      const how = new TextDecoder().decode(disk.readWhole(order));
      disk.remove(order);
      disk.create(`${job.dir}/${String(job.firstOutput).padStart(6, "0")}.sst`)
        .append(new Uint8Array(1000));
      return misbehave(how);
    }
  }
  return runEngineJob(disk, [], job, true);
});

function misbehave(how: string): unknown {
  switch (how) {
    case "throw":
      throw new Error("thrown on purpose");
    case "hang":
      return new Promise(() => {});
    case "loop":
      for (;;);
    case "exit":
      Deno.exit(1);
      break;
    case "uncaught":
      return setTimeout(() => {
        throw new Error("uncaught on purpose");
      }) && new Promise(() => {});
    case "heap":
      for (const held: object[] = [];;) {
        for (let n = 0; n < 1000; n++) held.push({ n });
      }
    case "buffers":
      for (const held: Uint8Array[] = [];;) held.push(new Uint8Array(2 ** 40));
  }
}
