import assert from "node:assert/strict";
import { callJson, Server, startProgram, withServer } from "../support/server.ts";

Deno.test("serve: SIGTERM ends a recovery that takes long, and the next start has everything [N13]", () =>
  withServer(async (server) => {
    const value = btoa("v".repeat(200_000));
    for (const tenantId of ["a", "b", "c"]) {
      for (let i = 0; i < 5; i++) {
        await callJson(server, "KeyValueService/Put", { tenantId, key: `k${i}`, value });
      }
    }
    await server.kill();
    // Little memory makes recovery flush, and the throttle makes it wait for that: minutes, here.
    const slow = ["--set", "memory.budget=200KiB", "--set", "compaction.throttle=0.001"];
    const child = startProgram(
      ["serve", "--data", server.data, "--listen", `127.0.0.1:${server.port}`, ...slow],
    );
    const out = new Response(child.stdout).text();
    const log = new Response(child.stderr).text();
    // The first of the tables that it makes of the log: it is in the middle of it.
    const tables = () =>
      [...Deno.readDirSync(`${server.data}/tenants`)].flatMap(({ name }) => [
        ...Deno.readDirSync(`${server.data}/tenants/${name}`),
      ]);
    while (tables().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    // Whoever comes before it has everything is not let in to find nothing.
    const early = Deno.connect({ hostname: "127.0.0.1", port: server.port });
    await assert.rejects(early, Deno.errors.ConnectionRefused);
    child.kill("SIGTERM");
    assert.equal((await child.status).code, 0);
    assert.equal(await out, "", "it was not ready");
    assert.match(await log, /stopping_at_once/);
    await using again = await Server.start({ data: server.data });
    const { value: found } = await callJson(again, "KeyValueService/Get", {
      tenantId: "c",
      key: "k4",
    });
    assert.equal(found, value);
    await again.stop();
  }));
