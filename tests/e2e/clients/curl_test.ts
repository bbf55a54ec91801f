/**
 * Bare curl against the real program: the line that the documentation promises, as it stands there.
 * @module
 */
import assert from "node:assert/strict";
import { missingProgram, testNeeding } from "../../support/needs.ts";
import { type Server, withServer } from "../../support/server.ts";

const PUT = "/pairdb.v1.KeyValueService/Put";
const GET = "/pairdb.v1.KeyValueService/Get";
/** After each answer: status, HTTP version, and how many connections were made for it. */
const FACTS = "\n%{http_code} %{http_version} %{num_connects}\n";

async function curl(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("curl", {
    args: ["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", ...args],
    stdin: "null",
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** Four requests in one run of curl: the line, the value back, an error, and the line once more. */
function fourRequests({ url }: Server): string[][] {
  const put = ["-d", '{"tenantId":"t1","key":"k1","value":"aGVsbG8="}', `${url}${PUT}`];
  const get = ["-d", '{"tenantId":"t1","key":"k1"}', `${url}${GET}`];
  const none = ["-d", '{"tenantId":"t1","key":"none"}', `${url}${GET}`];
  const json = ["-H", "content-type: application/json", "--write-out", FACTS];
  return [put, get, none, put].map((request) => [...json, ...request]);
}

/** Looks at the answers, one line of JSON and one of facts for each. */
function checkAnswers(out: string, version: string, connects: readonly number[]): void {
  const lines = out.trimEnd().split("\n");
  const statuses = [200, 200, 404, 200];
  assert.deepEqual(
    lines.filter((_, i) => i % 2 === 1),
    statuses.map((status, i) => `${status} ${version} ${connects[i]}`),
  );
  const [put, got, none, again] = lines.filter((_, i) => i % 2 === 0)
    .map((line) => JSON.parse(line));
  assert.equal(put.vectorClock.entries[0].logicalTimestamp, "1");
  assert.equal(got.value, "aGVsbG8=");
  assert.deepEqual(got.vectorClock, put.vectorClock);
  assert.equal(none.code, "not_found");
  assert.deepEqual(
    none.details.map(({ type, debug }: { type: string; debug: unknown }) => [type, debug]),
    [["pairdb.v1.ErrorDetail", { code: "KEY_NOT_FOUND", name: "KeyNotFound" }]],
  );
  assert.equal(again.vectorClock.entries[0].logicalTimestamp, "2");
}

const missing = missingProgram("curl");

testNeeding(
  "curl: four requests on one connection over HTTP/1.1",
  missing,
  () =>
    withServer(async (server) => {
      const args = fourRequests(server).flatMap((request) => ["--next", "--http1.1", ...request]);
      checkAnswers(await curl(...args.slice(1)), "1.1", [1, 0, 0, 0]);
    }),
);

testNeeding(
  "curl: four requests over HTTP/2 without TLS",
  missing,
  () =>
    withServer(async (server) => {
      const flag = "--http2-prior-knowledge";
      // curl 7.88, which is Debian 12's, breaks its own second request on such a connection, with any
      // server (curl/curl#10634): it gets a connection for each.
      if ((await curl("--version")).startsWith("curl 7.88.")) {
        let out = "";
        for (const request of fourRequests(server)) out += await curl(flag, ...request);
        checkAnswers(out, "2", [1, 1, 1, 1]);
      } else {
        const args = fourRequests(server).flatMap((request) => ["--next", flag, ...request]);
        checkAnswers(await curl(...args.slice(1)), "2", [1, 0, 0, 0]);
      }
    }),
);

testNeeding(
  "curl: the documented line, word for word",
  missing,
  () =>
    withServer(async ({ url }) => {
      const line = `curl -H 'content-type: application/json' ` +
        `-d '{"tenantId":"t1","key":"k1","value":"aGVsbG8="}' ` +
        `${url}/pairdb.v1.KeyValueService/Put`;
      const { code, stdout } = await new Deno.Command("sh", { args: ["-c", line] }).output();
      assert.equal(code, 0);
      assert.equal(JSON.parse(new TextDecoder().decode(stdout)).vectorClock.entries.length, 1);
      assert.equal(await curl(`${url}/healthz`), "ok: alive\n");
      assert.equal(await curl(`${url}/readyz`), "ok\n");
      assert.match(await curl(`${url}/metrics`), /pairdb_rpc_calls_total\{.*method="Put".*\} 1\n/);
    }),
);
