/**
 * A counter and a set in two real processes: each takes operations, is killed in the middle of them, and gets what
 * was not answered again. Then they hand each other all that they have, and both show every operation once.
 * @module
 */
import assert from "node:assert/strict";
import { connectPeer, move } from "../support/transfer.ts";
import { callJson, runProgram, Server, withDirectory } from "../support/server.ts";

/** Operations of each process; it is killed in the middle of the one at that place. */
const OPERATIONS = 60;
const KILLED_AT = 40;
const tenantId = "shop";
const key = "k";

interface Case {
  readonly strategy: string;
  /** The operation of a number. */
  readonly operation: (n: number) => string;
  readonly check: (shown: string) => void;
}

const CASES: readonly Case[] = [
  {
    strategy: "merge:counter",
    operation: (n) => `+${n % 7}`,
    check(shown) {
      const sum = [0, 1].flatMap((place) => numbersOf(place)).reduce((sum, n) => sum + n % 7, 0);
      assert.equal(shown, String(sum));
    },
  },
  {
    strategy: "merge:orset",
    operation: (n) => JSON.stringify({ add: [`${n}`], remove: n % 10 === 9 ? [`${n - 5}`] : [] }),
    check(shown) {
      const left = [0, 1].flatMap((place) => numbersOf(place)).filter((n) => n % 10 !== 4);
      assert.equal(shown, JSON.stringify(left.map(String).sort()));
    },
  },
];

/** The numbers of a process's operations. */
function numbersOf(place: number): number[] {
  return Array.from({ length: OPERATIONS }, (_, i) => place * 1000 + i);
}

async function cli(server: Server, ...args: string[]): Promise<string> {
  const { code, out, err } = await runProgram(...args, "--server", server.url);
  assert.equal(code, 0, err);
  return out.trim();
}

for (const { strategy, operation, check } of CASES) {
  Deno.test(`${strategy}: two processes are killed while they write, and agree once they have handed each other all [C9]`, async () => {
    await withDirectory(async (directory) => {
      const servers: Server[] = [];
      const start = async (data: string) => {
        const server = await Server.start({ data });
        servers.push(server);
        return server;
      };
      try {
        const alive: Server[] = [];
        for (const place of [0, 1]) {
          const data = `${directory}/${place}`;
          let server = await start(data);
          await cli(server, "tenant", "create", tenantId, "--conflict-strategy", strategy);
          for (const [i, n] of numbersOf(place).entries()) {
            const put = () =>
              callJson(server, "KeyValueService/Put", {
                tenantId,
                key,
                value: btoa(operation(n)),
                idempotencyKey: `operation number ${n}`,
              });
            if (i !== KILLED_AT) {
              await put();
              continue;
            }
            // Nobody knows what becomes of this one.
            const unknown = put().catch(() => {});
            await server.kill();
            await unknown;
            server = await start(data);
            await put();
            await cli(server, "flush");
          }
          alive.push(server);
        }
        const [a, b] = await Promise.all(
          alive.map(({ url }) => connectPeer(Number(new URL(url).port))),
        );
        await move(a, b, { tenant: tenantId });
        await move(b, a, { tenant: tenantId });
        await Promise.all([a.close(), b.close()]);
        for (const server of alive) {
          check(await cli(server, "get", tenantId, key));
          await cli(server, "compact", tenantId);
          check(await cli(server, "get", tenantId, key));
        }
        // What it shows can be carried elsewhere, and a second import changes nothing.
        const file = `${directory}/export.jsonl`;
        await Deno.writeTextFile(file, `${await cli(alive[0], "export", tenantId)}\n`);
        await cli(alive[1], "tenant", "create", "copy", "--conflict-strategy", strategy);
        for (let i = 0; i < 2; i++) await cli(alive[1], "import", "copy", file);
        check(await cli(alive[1], "get", "copy", key));

        const refused = await runProgram("put", tenantId, key, "none", "--server", alive[0].url);
        assert.equal(refused.code, 1);
        assert.match(refused.err, /^error: .*\(code 1000 InvalidArgument\)\n$/);

        const lww = ["tenant", "create", "latest", "--conflict-strategy", "lww"];
        const warned = await runProgram(...lww, "--server", alive[0].url);
        assert.match(warned.err, /^warning: with lww, .* lost\n$/);
        const listed = JSON.parse(await cli(alive[0], "tenant", "list", "--output", "json"));
        assert.deepEqual(
          listed.map((of: Record<string, string>) => [of.tenant, of.conflict_strategy]),
          [["latest", "lww"], [tenantId, strategy]],
        );
      } finally {
        for (const server of servers) await server[Symbol.asyncDispose]();
      }
    });
  });
}
