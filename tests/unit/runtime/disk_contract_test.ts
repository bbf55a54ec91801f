/**
 * The cases of disk_cases.ts against both disks.
 * @module
 */
import { denoDisk, SimClock, SimDisk } from "../../../src/runtime/mod.ts";
import { DISK_CASES } from "./disk_cases.ts";

for (const [name, run] of Object.entries(DISK_CASES)) {
  Deno.test(`denoDisk: ${name}`, async () => {
    const dir = Deno.makeTempDirSync();
    try {
      await run(denoDisk(), dir);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });

  Deno.test(`SimDisk: ${name}`, async () => {
    const disk = new SimDisk();
    disk.makeDir("/t");
    await run(disk, "/t");
  });

  Deno.test(`SimDisk on virtual time: ${name}`, async () => {
    const clock = new SimClock();
    const disk = new SimDisk({ clock });
    disk.makeDir("/t");
    await clock.runUntil(Promise.resolve(run(disk, "/t")));
  });
}
