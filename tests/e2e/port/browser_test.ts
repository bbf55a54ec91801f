import assert from "node:assert/strict";
import { withPort } from "../../support/port.ts";
import { RawClient } from "../../support/raw_http.ts";

const PUT = "/pairdb.v1.KeyValueService/Put";
const BODY = '{"tenantId":"t","key":"k","value":""}';

// Deno's fetch sends Origin as it is told to, as no browser would let a page do.
function preflight(url: string, origin: string): Promise<Response> {
  return fetch(url, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type,connect-protocol-version",
    },
  });
}

Deno.test("port: pages on loopback origins may call, and see what Connect and gRPC-Web need", () =>
  withPort(async ({ port }) => {
    for (
      const origin of [
        "http://localhost:5173",
        "http://127.0.0.1:80",
        "http://[::1]:3000",
        "http://localhost",
      ]
    ) {
      const asked = await preflight(port.url + PUT, origin);
      assert.equal(asked.status, 204, origin);
      assert.equal(asked.headers.get("access-control-allow-origin"), origin);
      assert.match(asked.headers.get("access-control-allow-methods") ?? "", /POST/);
      const allowed = asked.headers.get("access-control-allow-headers")?.toLowerCase() ?? "";
      for (
        const name of [
          "content-type",
          "connect-protocol-version",
          "connect-timeout-ms",
          "x-grpc-web",
          "grpc-timeout",
        ]
      ) {
        assert.ok(allowed.includes(name), name);
      }
      assert.ok(Number(asked.headers.get("access-control-max-age")) > 0);
      assert.match(asked.headers.get("vary") ?? "", /Origin/);
      const put = await fetch(port.url + PUT, {
        method: "POST",
        headers: { origin, "content-type": "application/json" },
        body: BODY,
      });
      assert.equal(put.status, 200);
      assert.equal(put.headers.get("access-control-allow-origin"), origin);
      const exposed = put.headers.get("access-control-expose-headers")?.toLowerCase() ?? "";
      for (const name of ["grpc-status", "grpc-message", "grpc-status-details-bin"]) {
        assert.ok(exposed.includes(name), name);
      }
      await put.body?.cancel();
    }
  }));

Deno.test("port: pages of other origins are refused and change nothing", () =>
  withPort(async ({ port, node }) => {
    for (
      const origin of [
        "http://evil.example",
        "https://localhost.evil.example",
        "http://localhost:5173.evil.example",
        "http://localhostevil:80",
        "null",
        "",
      ]
    ) {
      const asked = await preflight(port.url + PUT, origin);
      assert.equal(asked.status, 403, origin);
      assert.equal(asked.headers.get("access-control-allow-origin"), null);
      await asked.body?.cancel();
      const put = await fetch(port.url + PUT, {
        method: "POST",
        headers: { origin, "content-type": "application/json" },
        body: BODY,
      });
      assert.equal(put.status, 403);
      assert.equal((await put.json()).code, "permission_denied");
    }
    assert.equal(node.putsBegun, 0);
  }));

Deno.test("port: origins come from the configuration", () =>
  withPort(async ({ port }) => {
    const status = async (origin: string) => {
      const response = await preflight(port.url + PUT, origin);
      await response.body?.cancel();
      return response.status;
    };
    assert.equal(await status("https://app.example"), 204);
    assert.equal(await status("https://dev.example:8443"), 204);
    assert.equal(await status("https://app.example:444"), 403);
    assert.equal(await status("http://localhost:3000"), 403);
  }, { corsOrigins: ["https://app.example", "https://dev.example:*"] }));

Deno.test("port: the port's own origin may call it", () =>
  withPort(async ({ port, node }) => {
    const put = await fetch(port.url + PUT, {
      method: "POST",
      headers: { origin: port.url, "content-type": "application/json" },
      body: BODY,
    });
    assert.equal(put.status, 200);
    assert.equal(node.putsBegun, 1);
    await put.body?.cancel();
  }, { corsOrigins: [] }));

Deno.test("port: a name that was pointed at 127.0.0.1 does not reach a loopback port", async () => {
  const ask = async (port: number, host: string) => {
    const client = await RawClient.open(port);
    await client.send(`GET /healthz HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
    const { status } = await client.response();
    await client.close();
    return status;
  };
  await withPort(async ({ port }) => {
    for (
      const good of ["localhost:1", "app.localhost", "127.0.0.1", "[::1]:8080", "10.1.2.3:50052"]
    ) {
      assert.equal(await ask(port.port, good), 200, good);
    }
    for (const bad of ["evil.example", "localhost.evil.example:50052", "127.0.0.1.evil.example"]) {
      assert.equal(await ask(port.port, bad), 403, bad);
    }
  });
  await withPort(async ({ port }) => {
    assert.equal(await ask(port.port, "DB.example:50052"), 200);
    assert.equal(await ask(port.port, "evil.example"), 403);
  }, { allowedHosts: ["db.example"] });
  await withPort(async ({ port }) => {
    assert.equal(await ask(port.port, "any.example"), 200);
  }, { host: "0.0.0.0" });
});
