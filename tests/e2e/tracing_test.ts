/**
 * Traces: the program sends a span of each call to a collector that speaks OTLP over HTTP.
 * @module
 */
import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { KeyValueService } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { Http2Peer, postFields } from "../support/http2_by_hand.ts";
import { envelope } from "../support/raw_rpc.ts";
import { Server, withDirectory, within } from "../support/server.ts";

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly attributes: readonly { key: string; value: Record<string, string> }[];
  readonly status?: { readonly code?: number };
}

/** A collector that keeps the spans of one scope. */
function collector() {
  const spans: OtlpSpan[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const body = await request.json();
    for (const { scopeSpans } of body.resourceSpans ?? []) {
      for (const scope of scopeSpans) if (scope.scope.name === "pairdb") spans.push(...scope.spans);
    }
    return Response.json({});
  });
  return { spans, server, url: `http://127.0.0.1:${server.addr.port}` };
}

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";

Deno.test("with OTEL_DENO every call is a span, in the trace of who asked, whatever the protocol [O10]", () =>
  withDirectory(async (directory) => {
    const { spans, server: otlp, url } = collector();
    const env = {
      OTEL_DENO: "true",
      OTEL_DENO_CONSOLE: "ignore",
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_BSP_SCHEDULE_DELAY: "50",
    };
    const server = await Server.start({ data: `${directory}/data`, env });
    try {
      const { put, get } = KeyValueService.method;
      const traceparent = `00-${TRACE}-${PARENT}-01`;
      const message = create(put.input, {
        tenantId: "shop",
        key: "a-secret-key",
        value: new Uint8Array(9),
      });
      const peer = await Http2Peer.open(server.port);
      const path = `/${put.parent.typeName}/${put.name}`;
      const fields = postFields(path, { "content-type": "application/grpc", traceparent });
      await peer.call(fields, envelope(toBinary(put.input, message)));
      await peer.close();
      const response = await fetch(`${server.url}/${get.parent.typeName}/${get.name}`, {
        method: "POST",
        headers: { "content-type": "application/json", traceparent },
        body: JSON.stringify({ tenantId: "shop", key: "a-secret-key" }),
      });
      await response.body?.cancel();
      // The end sends what has not been sent.
      assert.equal(await within("the end", server.stop()), 0, server.log);
    } finally {
      await server.kill();
      await otlp.shutdown();
    }
    const named = (name: string) => {
      const found = spans.find((span) => span.name === `pairdb.v1.KeyValueService/${name}`);
      assert.ok(found, `no span of ${name} in ${JSON.stringify(spans)}`);
      const attributes = Object.fromEntries(
        found.attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
      );
      return { ...found, attributes };
    };
    const put = named("Put");
    assert.deepEqual([put.traceId, put.parentSpanId], [TRACE, PARENT]);
    const { "pairdb.request_bytes": bytes, ...rest } = put.attributes;
    assert.ok(Number(bytes) > 20);
    assert.deepEqual(rest, {
      "rpc.system": "grpc",
      "rpc.service": "pairdb.v1.KeyValueService",
      "rpc.method": "Put",
      "rpc.status": "ok",
      "pairdb.tenant": "shop",
      "pairdb.keys": 1,
      "pairdb.source": "",
    });
    const get = named("Get");
    assert.equal(get.attributes["rpc.system"], "connect_rpc");
    assert.equal(get.traceId, TRACE);
    assert.ok(!JSON.stringify(spans).includes("secret"));
  }));
