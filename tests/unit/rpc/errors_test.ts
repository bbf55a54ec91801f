import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import { ERRORS, PairError } from "../../../src/model/mod.ts";
import { DiskError, type Log, silentLog } from "../../../src/runtime/mod.ts";
import { ErrorCode } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { completeError, detailOf, STATUS, toConnectError } from "../../../src/rpc/errors.ts";
import { ERROR_TABLE } from "../../support/error_table.ts";

Deno.test("STATUS has the mapping that clients rely on, for every row of the error table [R2, R3]", () => {
  assert.deepEqual(ERROR_TABLE.map(([name]) => name), Object.keys(ERRORS));
  for (const [name, number, code, http] of ERROR_TABLE) {
    assert.equal(ERRORS[name].code, number);
    assert.equal(STATUS[name], code, name);
    assert.equal(codeToHttpStatus(code), http, name);
    assert.ok(ErrorCode[number] !== undefined, `${number} is in the proto`);
  }
});

Deno.test("toConnectError() keeps a PairError's number, name, text and details [R1]", () => {
  for (const [name, number, code] of ERROR_TABLE) {
    const error = toConnectError(
      new PairError(name, "Cannot: state", { bytes: 5, ok: true }),
      silentLog,
    );
    assert.equal(error.code, code);
    assert.equal(error.rawMessage, "Cannot: state");
    const detail = detailOf(error);
    assert.deepEqual([detail?.code, detail?.name], [number, name]);
    assert.deepEqual({ ...detail?.details }, { bytes: "5", ok: "true" });
  }
});

Deno.test("toConnectError() tells a tenant that is there already from other bad arguments", () => {
  const details = { reason: "already_exists" };
  const error = toConnectError(
    new PairError("InvalidArgument", "Cannot create", details),
    silentLog,
  );
  assert.equal(error.code, Code.AlreadyExists);
  assert.equal(detailOf(error)?.code, ErrorCode.INVALID_ARGUMENT);
});

Deno.test("toConnectError() keeps what is no PairError from the client, and logs it", () => {
  const logged: unknown[] = [];
  const log: Log = { ...silentLog, error: (event, fields) => logged.push(event, fields?.error) };
  const disk = new DiskError("append", "/data/wal/1.wal", "EIO");
  for (const thrown of [new TypeError("secret"), disk, "secret", undefined, { secret: 1 }]) {
    const error = toConnectError(thrown, log);
    assert.deepEqual([error.code, error.rawMessage], [Code.Internal, "internal error"]);
    assert.equal(detailOf(error)?.code, ErrorCode.INTERNAL);
  }
  assert.equal(logged.length, 10);
  assert.match(String(logged[1]), /TypeError: secret/);
  assert.match(String(logged[3]), /append \/data\/wal\/1.wal: EIO/);
});

Deno.test("toConnectError() calls an abort a cancellation", () => {
  const reason = AbortSignal.abort().reason;
  assert.equal(toConnectError(reason, silentLog).code, Code.Canceled);
});

Deno.test("completeError() gives the library's errors a number, once", () => {
  for (
    const [code, number] of [
      [Code.InvalidArgument, 1000],
      [Code.Unimplemented, 1000],
      [Code.ResourceExhausted, 2008],
      [Code.DeadlineExceeded, 2001],
      [Code.Canceled, 2001],
      [Code.Internal, 2000],
      [Code.Unknown, 2000],
    ] as const
  ) {
    const error = completeError(completeError(new ConnectError("one\n two", code)));
    assert.deepEqual([error.code, error.rawMessage], [code, "one two"]);
    assert.equal(error.details.length, 1);
    assert.equal(detailOf(error)?.code, number as number);
  }
  const binary = completeError(new ConnectError("parse binary: premature EOF", Code.Internal));
  assert.equal(binary.code, Code.InvalidArgument);
  assert.equal(detailOf(binary)?.code, ErrorCode.INVALID_ARGUMENT);
});

Deno.test("completeError() leaves texts and details of other services alone", () => {
  const error = completeError(new ConnectError("one\n two", Code.Aborted), false);
  assert.deepEqual([error.rawMessage, error.details], ["one\n two", []]);
  const binary = completeError(new ConnectError("parse binary: EOF", Code.Internal), false);
  assert.deepEqual([binary.code, binary.details], [Code.InvalidArgument, []]);
});
