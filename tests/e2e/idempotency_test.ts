/**
 * Idempotency keys over the port with grpc-js: clients whose answers are lost by kill -9 of the real program,
 * by a deadline or because they hang up, send the same again until they are answered; each write is there once.
 * @module
 */
import assert from "node:assert/strict";
import { type ServiceError, status } from "@grpc/grpc-js";
import type { ErrorDetail } from "../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService, type PutResponse } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { grpcDetail, GrpcJsClient } from "../support/grpc_js.ts";
import { callJson, Server, withDirectory, withServer } from "../support/server.ts";

const KV = KeyValueService.method;
const WRITERS = 8;
/** Increments of each writer, over all lives of the server. */
const INCREMENTS = 60;
const KILLS = 3;
const tenantId = "once";
const key = "visits";

/** The server of the moment, and who waits for the next one. */
interface Lives {
  port: number;
  next: PromiseWithResolvers<void>;
  increments: number;
  /** Calls that ended without an answer. */
  lost: number;
}

function isMismatch(detail: ErrorDetail | undefined): boolean {
  return detail?.details.reason === "context_mismatch";
}

/**
 * Increments the counter by compare and set. A call that is not answered is made again as it was, with its
 * key: it has been applied or it has not, and either way the answer says so.
 */
async function writer(name: number, lives: Lives): Promise<void> {
  let client = new GrpcJsClient(lives.port);
  /** The same call until it is answered, whatever becomes of the server. */
  const answered = async <T>(call: () => Promise<T>): Promise<T> => {
    for (;;) {
      const { next } = lives;
      try {
        return await call();
      } catch (thrown) {
        const { code } = thrown as ServiceError;
        if (code !== status.UNAVAILABLE && code !== status.CANCELLED) throw thrown;
        lives.lost++;
        await next.promise;
        client.close();
        client = new GrpcJsClient(lives.port);
      }
    }
  };
  let attempt = 0;
  for (let done = 0; done < INCREMENTS;) {
    const found = await answered(() => client.unary(KV.get, { tenantId, key })).catch(
      (error: ServiceError) => {
        if (error.code === status.NOT_FOUND) return undefined;
        throw error;
      },
    );
    const count = found === undefined ? 0 : Number(new TextDecoder().decode(found.value));
    const message = {
      tenantId,
      key,
      value: new TextEncoder().encode(String(count + 1)),
      vectorClock: found?.vectorClock,
      ifContext: true,
      idempotencyKey: `writer ${name}, attempt ${attempt++}`,
    };
    try {
      await answered(() => client.unary(KV.put, message));
      done++;
      lives.increments++;
    } catch (error) {
      if (!isMismatch(grpcDetail(error as ServiceError))) throw error;
    }
  }
  client.close();
}

Deno.test("idempotency: counters of clients whose answers are lost by kill -9 are exact [B5]", () =>
  withDirectory(async (data) => {
    let server = await Server.start({ data });
    try {
      const lives: Lives = {
        port: server.port,
        next: Promise.withResolvers(),
        increments: 0,
        lost: 0,
      };
      const writers = Promise.all(Array.from({ length: WRITERS }, (_, i) => writer(i, lives)));
      for (let kill = 1; kill <= KILLS; kill++) {
        // In the middle of it, with calls under way.
        while (lives.increments < WRITERS * INCREMENTS * kill / (KILLS + 1)) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        await server.kill();
        server = await Server.start({ data });
        lives.port = server.port;
        const { next } = lives;
        lives.next = Promise.withResolvers();
        next.resolve();
      }
      await writers;
      const client = new GrpcJsClient(server.port);
      const found = await client.unary(KV.get, { tenantId, key });
      client.close();
      assert.equal(new TextDecoder().decode(found.value), String(WRITERS * INCREMENTS));
      assert.equal(found.siblings.length, 0);
      assert.ok(lives.lost > 0, "no answer was lost");
    } finally {
      await server.kill();
    }
  }));

Deno.test("idempotency: an answer is the same again over kill -9, for each write and by each protocol [B5]", () =>
  withServer(async (server) => {
    const value = Uint8Array.of(1);
    const put = { tenantId, key: "p", value, idempotencyKey: "put 0123456789abc" };
    const del = { tenantId, key: "d", idempotencyKey: "del 0123456789abc" };
    const items = [{ key: "b1", value }, { key: "b2", value }];
    const batch = { tenantId, items, idempotencyKey: "bat 0123456789abc" };
    const all = async (it: Server) => {
      const client = new GrpcJsClient(it.port);
      try {
        const answers = [
          await client.unary(KV.put, put),
          await client.unary(KV.delete, del),
          await client.unary(KV.batchPut, batch),
        ];
        const json = { ...put, value: btoa("\x01") };
        const same = await callJson(it, "KeyValueService/Put", json);
        assert.equal(
          same.timestamp,
          String((answers[0] as PutResponse).timestamp),
          "Connect JSON is told the same",
        );
        return answers;
      } finally {
        client.close();
      }
    };
    const client = new GrpcJsClient(server.port);
    await client.unary(KV.put, { tenantId, key: "d", value });
    client.close();
    const first = await all(server);
    assert.deepEqual(await all(server), first);
    await server.kill();
    await using restarted = await Server.start({ data: server.data });
    const later = new GrpcJsClient(restarted.port);
    // What came since stays, whoever asks again.
    await later.unary(KV.put, { tenantId, key: "d", value: Uint8Array.of(2) });
    assert.deepEqual(await all(restarted), first);
    const kept = await later.unary(KV.get, { tenantId, key: "d" });
    assert.deepEqual([...kept.value!], [2]);
    const refused = await later.unary(KV.put, { ...put, value: Uint8Array.of(9) }).catch(
      (error: ServiceError) => error,
    ) as ServiceError;
    assert.equal(refused.code, status.INVALID_ARGUMENT);
    assert.deepEqual(grpcDetail(refused)?.details, {
      reason: "idempotency_key_reused",
      outcome: "not_applied",
    });
    later.close();
  }));
