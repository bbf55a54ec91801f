/**
 * The worker of supervision_test.ts: does jobs, unless a file `misbehave` in the data directory says how to go
 * wrong. It then takes the file away, begins the table of a table job, and goes wrong; the next job is done well.
 * @module
 */
import { type EngineJob, runEngineJob } from "../../src/engine/mod.ts";
import { denoDisk, serveWorker } from "../../src/runtime/mod.ts";

const disk = denoDisk();

serveWorker((message) => {
  const job = message as EngineJob;
  const root = job.type === "files"
    ? job.tasks[0].from.replace(/\/snapshots\/.*/, "")
    : "dir" in job
    ? `${job.dir}/../..`
    : undefined;
  const order = `${root}/misbehave`;
  if (root === undefined || disk.stat(order) === undefined) {
    return runEngineJob(disk, [], job, true);
  }
  const how = new TextDecoder().decode(disk.readWhole(order));
  disk.remove(order);
  if ("firstOutput" in job) {
    disk.create(`${job.dir}/${String(job.firstOutput).padStart(6, "0")}.sst`)
      .append(new Uint8Array(1000));
  }
  return misbehave(how);
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
