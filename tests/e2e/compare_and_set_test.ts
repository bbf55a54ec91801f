/**
 * Counters by compare and set, over the port with grpc-js and through kill -9 of the real program: no
 * increment that was answered is lost, and none is there that nobody sent.
 * @module
 */
import assert from "node:assert/strict";
import { type ServiceError, status } from "@grpc/grpc-js";
import { KeyValueService } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { grpcDetail, GrpcJsClient } from "../support/grpc_js.ts";
import { Server, withDirectory } from "../support/server.ts";

const KV = KeyValueService.method;
const WRITERS = 6;
/** Increments that each writer has answered before it stops, in each life of the server. */
const INCREMENTS = 40;
const LIVES = 3;
const tenantId = "counters";
const key = "visits";

/** What became of the increments of all writers. */
interface Tally {
  answered: number;
  unknown: number;
  refused: number;
}

/** One increment, tried until it is answered. @throws ServiceError when the server is gone */
async function increment(client: GrpcJsClient, tally: Tally): Promise<void> {
  for (;;) {
    const found = await client.unary(KV.get, { tenantId, key }).catch((error: ServiceError) => {
      if (error.code === status.NOT_FOUND) return undefined;
      throw error;
    });
    const count = found === undefined ? 0 : Number(new TextDecoder().decode(found.value));
    const value = new TextEncoder().encode(String(count + 1));
    const vectorClock = found?.vectorClock;
    try {
      await client.unary(KV.put, { tenantId, key, value, vectorClock, ifContext: true });
      tally.answered++;
      return;
    } catch (thrown) {
      const error = thrown as ServiceError;
      const detail = grpcDetail(error);
      if (detail?.details.reason !== "context_mismatch") {
        // No answer, so nobody knows.
        if (detail?.details.outcome !== "not_applied") tally.unknown++;
        throw error;
      }
      assert.equal(error.code, status.ABORTED);
      assert.equal(detail.details.outcome, "not_applied");
      assert.ok(detail.vectorClock!.entries.length > 0, "the present context is told");
      tally.refused++;
    }
  }
}

/** A writer; it ends early when the server is gone. */
async function writer(port: number, tally: Tally): Promise<void> {
  const client = new GrpcJsClient(port);
  try {
    for (let i = 0; i < INCREMENTS; i++) await increment(client, tally);
  } catch (error) {
    assert.ok([status.UNAVAILABLE, status.CANCELLED].includes((error as ServiceError).code));
  } finally {
    client.close();
  }
}

Deno.test("compare and set: counters of concurrent writers lose no increment, over kill -9 [B5]", () =>
  withDirectory(async (data) => {
    const tally: Tally = { answered: 0, unknown: 0, refused: 0 };
    for (let life = 1; life <= LIVES; life++) {
      await using server = await Server.start({ data });
      const before = tally.answered;
      const writers = Array.from({ length: WRITERS }, () => writer(server.port, tally));
      if (life < LIVES) {
        // In the middle of it all: about half of what they have to do is answered.
        while (tally.answered - before < WRITERS * INCREMENTS / 2) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        await server.kill();
      }
      await Promise.all(writers);
      if (life < LIVES) continue;
      const client = new GrpcJsClient(server.port);
      const found = await client.unary(KV.get, { tenantId, key });
      client.close();
      const count = Number(new TextDecoder().decode(found.value));
      assert.equal(found.siblings.length, 0);
      assert.ok(count >= tally.answered, `${count} of ${tally.answered} answered`);
      assert.ok(count <= tally.answered + tally.unknown, `${count}: ${JSON.stringify(tally)}`);
      assert.ok(tally.refused > 0, "nobody was ever in another's way");
    }
  }));
