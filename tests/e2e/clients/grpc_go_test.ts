/**
 * grpc-go against the real program. It has no proto file and asks for the messages.
 * @module
 */
import assert from "node:assert/strict";
import { findGo, runTool } from "../../support/go_tools.ts";
import { testNeeding } from "../../support/needs.ts";
import { withDirectory, withServer } from "../../support/server.ts";

const SOURCE = new URL("grpc_go", import.meta.url).pathname;

/** The client needs a Go that knows its modules' language; they come through Go's own cache or proxy. */
const GO_MIN = [1, 25];

const go = findGo();

/** What the machine lacks; undefined when nothing. */
async function missingGo(): Promise<string | undefined> {
  if (go.path === undefined) return go.missing;
  const { out } = await runTool(go.path, ["env", "GOVERSION"]);
  const [major, minor] = (/^go(\d+)\.(\d+)/.exec(out) ?? []).slice(1).map(Number);
  if (major > GO_MIN[0] || (major === GO_MIN[0] && minor >= GO_MIN[1])) return undefined;
  return `${out.trim()} is older than Go ${GO_MIN.join(".")}`;
}

/** Builds the client. @returns why not, when its modules cannot be had */
async function build(output: string): Promise<string | undefined> {
  const { code, err } = await runTool(go.path!, ["build", "-o", output, "."], {
    cwd: SOURCE,
    env: { GOFLAGS: "-mod=readonly -buildvcs=false" },
    limitMs: 300_000,
  });
  return code === 0 ? undefined : err;
}

testNeeding(
  "grpc-go: calls, streams, gzip, deadlines, and errors with their number, by reflection",
  await missingGo(),
  () =>
    withDirectory(async (directory) => {
      const client = `${directory}/grpc_go`;
      assert.equal(await build(client), undefined);
      await withServer(async ({ port }) => {
        const { code, out, err } = await runTool(client, [`127.0.0.1:${port}`]);
        assert.equal(code, 0, err);
        const { noKey, badKey, noMethod, ...seen } = JSON.parse(out);
        assert.deepEqual(seen, {
          valueBack: true,
          sameClock: true,
          stored: 1000,
          scanned: 1000,
          scannedInOrder: true,
          zipped: true,
          watched: 1,
          deadline: "DeadlineExceeded",
        });
        for (
          const [{ text, ...facts }, status, code, name] of [
            [noKey, "NotFound", 1001, "KeyNotFound"],
            [badKey, "InvalidArgument", 1005, "InvalidKey"],
            [noMethod, "Unimplemented", 1000, "InvalidArgument"],
          ]
        ) {
          assert.deepEqual(facts, { status, type: "pairdb.v1.ErrorDetail", code, name });
          assert.notEqual(text, "");
        }
      });
    }),
);
