/**
 * Watch over the real port, as plain HTTP: lines of JSON, server-sent events, and what is refused.
 * @module
 */
import assert from "node:assert/strict";
import { CredentialsAuthority } from "../../../src/rpc/mod.ts";
import { denoClock, silentLog } from "../../../src/runtime/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { bytes, testNode } from "../../support/node.ts";
import { tokenOf } from "../../unit/rpc/auth/support.ts";
import { Http2Peer, postFields } from "../../support/http2_by_hand.ts";
import { type TestPort, until, withPort } from "../../support/port.ts";

/** A port over a real node on a list in memory. */
async function withNode(test: (it: TestPort, node: StorageNode) => Promise<void>): Promise<void> {
  const { node } = testNode({ tenantAutoCreate: false });
  await node.createTenant("t x");
  await withPort((it) => test(it, node), { node });
  assert.equal(node.status().counters.watchers, 0);
}

/** Reads a body by pieces of text that end with `end`. */
async function* pieces(response: Response, end: string): AsyncGenerator<string> {
  let held = "";
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    held += text;
    for (let at; (at = held.indexOf(end)) >= 0; held = held.slice(at + end.length)) {
      yield held.slice(0, at);
    }
  }
  assert.equal(held, "");
}

const PATH = "/v1/tenants/t%20x/watch";

Deno.test("plain watch: a line of JSON for each event, over HTTP/1.1 [B8]", () =>
  withNode(async ({ port }, node) => {
    await node.put("t x", { key: "a/1", value: bytes("one") });
    const gone = new AbortController();
    const response = await fetch(`${port.url}${PATH}?prefix=a/&initial=true&keys_only=0`, {
      signal: gone.signal,
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/x-ndjson");
    assert.equal(response.headers.get("cache-control"), "no-store");
    const lines = pieces(response, "\n");
    const next = async () => JSON.parse((await lines.next()).value!);
    const initial = await next();
    assert.deepEqual([initial.type, initial.key, atob(initial.value)], ["INITIAL", "a/1", "one"]);
    const began = await next();
    assert.deepEqual(Object.keys(began), ["type", "resumeToken"]);
    assert.equal(began.type, "PROGRESS");
    const { clock } = await node.put("t x", { key: "a/2", value: bytes("two") });
    await node.put("t x", { key: "b", value: bytes("other") });
    await node.delete("t x", { key: "a/2" });
    const put = await next();
    assert.deepEqual([put.type, put.key, atob(put.value)], ["PUT", "a/2", "two"]);
    assert.equal(put.vectorClock.entries[0].logicalTimestamp, String(clock.entries[0].counter));
    const deleted = await next();
    assert.deepEqual([deleted.type, deleted.key, deleted.value], ["DELETE", "a/2", undefined]);
    gone.abort();
    await assert.rejects(lines.next());
    await until(() => node.status().counters.watchers === 0);
    const again = await fetch(`${port.url}${PATH}?key=a/2&resume_token=${put.resumeToken}`);
    const more = pieces(again, "\n");
    assert.equal(JSON.parse((await more.next()).value!).type, "PROGRESS");
    assert.equal(JSON.parse((await more.next()).value!).type, "DELETE");
    await more.return(undefined);
    await until(() => node.status().counters.watchers === 0);
  }));

Deno.test("plain watch: server-sent events, which a browser goes on with by itself [B8]", () =>
  withNode(async ({ port }, node) => {
    const headers = { accept: "text/event-stream" };
    const response = await fetch(`${port.url}${PATH}?key=k`, { headers });
    assert.equal(response.headers.get("content-type"), "text/event-stream");
    const events = pieces(response, "\n\n");
    const next = async (from = events) => {
      const [, id, data] = /^id: ([\w-]{22})\ndata: (\{.*\})$/.exec((await from.next()).value!)!;
      return { id, ...JSON.parse(data) };
    };
    assert.equal((await next()).type, "PROGRESS");
    await node.put("t x", { key: "k", value: bytes("1") });
    await node.put("t x", { key: "k", value: bytes("2") });
    const { id, ...first } = await next();
    assert.deepEqual([first.type, first.resumeToken], ["PUT", id]);
    await events.return(undefined);
    const again = await fetch(`${port.url}${PATH}?key=k&resume_token=${"A".repeat(22)}`, {
      headers: { ...headers, "last-event-id": id },
    });
    const more = pieces(again, "\n\n");
    assert.equal((await next(more)).type, "PROGRESS");
    const second = await next(more);
    assert.deepEqual([second.type, atob(second.value)], ["PUT", "2"]);
    await more.return(undefined);
    await until(() => node.status().counters.watchers === 0);
  }));

Deno.test("plain watch: the last line says why the stream ended [B8]", () =>
  withNode(async ({ port }, node) => {
    const lines = pieces(await fetch(`${port.url}${PATH}`), "\n");
    await lines.next();
    await node.dropTenant("t x");
    const { error } = JSON.parse((await lines.next()).value!);
    assert.deepEqual([error.code, error.message], ["invalid_argument", "The tenant was dropped"]);
    assert.equal(error.details[0].debug.code, "INVALID_TENANT_ID");
    assert.equal((await lines.next()).done, true);
  }));

Deno.test("plain watch: what cannot begin is a status, and an error in JSON [B8]", () =>
  withNode(async ({ port }) => {
    const refused = async (path: string, status: number, code: string, message: RegExp) => {
      const response = await fetch(`${port.url}${path}`);
      const json = await response.json();
      assert.deepEqual([response.status, json.code], [status, code], path);
      assert.match(json.message, message, path);
    };
    const bad = (path: string, message: RegExp) => refused(path, 400, "invalid_argument", message);
    await bad("/v1/tenants/none/watch", /does not exist/);
    await bad("/v1/tenants/a:b/watch", /tenant/);
    await bad("/v1/tenants/%ff/watch", /not UTF-8/);
    await bad(`${PATH}?key=a&prefix=b`, /bounds beside it/);
    await bad(`${PATH}?progress_ms=x`, /progress/i);
    await bad(`${PATH}?initial=maybe`, /initial is neither true nor false/);
    await bad(`${PATH}?constructor=1`, /no parameter "constructor"/);
    await bad(`${PATH}?resume_token=x`, /token/);
    await bad(`${PATH}?prefix=%ff`, /prefix is not UTF-8/);
    await bad(`${PATH}?prefix=%ed%a0%80`, /prefix is not UTF-8/);
    await bad(`${PATH}?prefix=100%`, /prefix is not UTF-8/);
    await bad(`${PATH}?%ff=a`, /name of a parameter is not UTF-8/);
    await bad(`${PATH}?prefix=a&prefix=b`, /prefix is there twice/);
    await bad(`${PATH}?initial&initial=0`, /initial is there twice/);
    await refused("/v1/tenants/t/watching", 404, "not_found", /nothing here/);
    for (const method of ["POST", "HEAD", "OPTIONS"]) {
      const asked = await fetch(`${port.url}${PATH}`, { method });
      assert.equal(asked.status, method === "OPTIONS" ? 204 : 405, method);
      assert.equal(asked.headers.get("allow"), "GET, OPTIONS", method);
      await asked.body?.cancel();
    }
  }));

Deno.test("plain watch: bytes that nobody encoded are no name of a tenant or key, by either HTTP version [B8]", () =>
  withNode(async ({ port }, node) => {
    await node.createTenant("café");
    for (const path of ["/v1/tenants/café/watch", `${PATH}?prefix=é`]) {
      const connection = await Deno.connect({ port: port.port });
      await connection.write(utf8(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`));
      const answer = new Uint8Array(4096);
      const count = await connection.read(answer);
      assert.match(fromUtf8(answer.subarray(0, count ?? 0)), /^HTTP\/1.1 400 /, path);
      connection.close();
      const peer = await Http2Peer.open(port.port);
      const fields = postFields(path, {}).map((field) =>
        field[0] === ":method" ? [":method", "GET"] as const : field
      );
      const { header } = await peer.answer(peer.begin(fields, true));
      assert.deepEqual(header[0], [":status", "400"], path);
      await peer.close();
    }
    const encoded = await fetch(`${port.url}/v1/tenants/caf%C3%A9/watch?prefix=%C3%A9+1`);
    assert.equal(encoded.status, 200);
    await encoded.body!.cancel();
    await until(() => node.status().counters.watchers === 0);
  }));

Deno.test("a watch ends at once when the port closes, and says so [B8]", async () => {
  const { node } = testNode();
  let line: Promise<IteratorResult<string>> | undefined;
  await withPort(async ({ port }) => {
    const lines = pieces(await fetch(`${port.url}/v1/tenants/t/watch`), "\n");
    await lines.next();
    line = lines.next();
  }, { node });
  const { error } = JSON.parse((await line!).value!);
  assert.equal(error.code, "unavailable");
});

Deno.test("plain watch: who may not read the tenant is turned away, whatever the range [B8]", async () => {
  const { node } = testNode();
  const client = tokenOf(1, { tenants: ["t"], read_only: true });
  const stranger = tokenOf(2, { tenants: ["other"] });
  const authority = new CredentialsAuthority({
    clock: denoClock(),
    log: silentLog,
    accepts: { tokens: true, certificates: false },
    credentials: { version: 1, tokens: [client.entry, stranger.entry], certificates: [] },
  });
  await withPort(async ({ port }) => {
    for (
      const [token, tenant, status] of [
        [undefined, "t", 401],
        ["pdb_garbage", "t", 401],
        [stranger.text, "t", 403],
        [client.text, "%74", 200],
        [client.text, "other", 403],
      ] as const
    ) {
      const headers = token === undefined ? undefined : { authorization: `Bearer ${token}` };
      const url = `${port.url}/v1/tenants/${tenant}/watch?key=k`;
      const response = await fetch(url, { headers });
      assert.equal(response.status, status, `${token} ${tenant}`);
      await response.body?.cancel();
    }
    await until(() => node.status().counters.watchers === 0);
    assert.equal(node.status().counters.watchHistoryBytes, 0);
  }, { node, authority });
});
