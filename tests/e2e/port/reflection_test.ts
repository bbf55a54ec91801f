import assert from "node:assert/strict";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { ServerReflection } from "../../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type TestPort, withPort } from "../../support/port.ts";

type Question =
  | { case: "listServices" | "fileByFilename" | "fileContainingSymbol"; value: string }
  | { case: "allExtensionNumbersOfType"; value: string }
  | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } }
  | { case: undefined };

/** Asks all questions on one stream, of both versions of the protocol, and demands equal answers. */
async function ask({ port }: TestPort, questions: Question[]) {
  const sessionManager = new Http2SessionManager(port.url);
  const transport = createGrpcTransport({ baseUrl: port.url, sessionManager });
  async function* requests() {
    for (const messageRequest of questions) yield { host: "h", messageRequest };
  }
  const answers = [];
  for await (
    const answer of createClient(ServerReflection, transport).serverReflectionInfo(requests())
  ) {
    assert.equal(answer.validHost, "h");
    assert.deepEqual(answer.originalRequest?.messageRequest.case, questions[answers.length].case);
    answers.push(answer.messageResponse);
  }
  let count = 0;
  for await (
    const answer of createClient(ServerReflectionAlpha, transport).serverReflectionInfo(requests())
  ) {
    assert.equal(answer.messageResponse.case, answers[count++].case);
  }
  assert.equal(count, answers.length);
  sessionManager.abort();
  return answers;
}

type Answers = Awaited<ReturnType<typeof ask>>;

function fileNames(answer: Answers[number]): string[] {
  assert.equal(answer.case, "fileDescriptorResponse");
  return answer.value.fileDescriptorProto.map((bytes) =>
    fromBinary(FileDescriptorProtoSchema, bytes).name
  );
}

Deno.test("port: reflection lists services and gives files with their imports", () =>
  withPort(async (it) => {
    const [list, ...files] = await ask(it, [
      { case: "listServices", value: "*" },
      { case: "fileByFilename", value: "pairdb/v1/kv.proto" },
      { case: "fileContainingSymbol", value: "pairdb.v1.KeyValueService" },
      { case: "fileContainingSymbol", value: "pairdb.v1.KeyValueService.Put" },
      { case: "fileContainingSymbol", value: "pairdb.v1.PutRequest" },
      { case: "fileContainingSymbol", value: "pairdb.v1.PutRequest.key" },
      { case: "fileContainingSymbol", value: "pairdb.v1.Consistency" },
      { case: "fileContainingSymbol", value: "grpc.health.v1.HealthCheckResponse.ServingStatus" },
    ]);
    assert.equal(list.case, "listServicesResponse");
    assert.deepEqual(list.value.service.map((service) => service.name), [
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "pairdb.v1.AdminService",
      "pairdb.v1.KeyValueService",
      "pairdb.v1.StorageNodeService",
      "pairdb.v1.TenantService",
    ]);
    const kv = ["pairdb/v1/kv.proto", "pairdb/v1/common.proto"];
    for (const file of files.slice(0, 5)) assert.deepEqual(fileNames(file), kv);
    assert.deepEqual(fileNames(files[5]), ["pairdb/v1/common.proto"]);
    assert.deepEqual(fileNames(files[6]), ["grpc/health/v1/health.proto"]);
  }));

Deno.test("port: reflection says what there is not", () =>
  withPort(async (it) => {
    const answers = await ask(it, [
      { case: "fileByFilename", value: "none.proto" },
      { case: "fileContainingSymbol", value: "pairdb.v1.None" },
      { case: "allExtensionNumbersOfType", value: "pairdb.v1.None" },
      {
        case: "fileContainingExtension",
        value: { containingType: "pairdb.v1.PutRequest", extensionNumber: 1 },
      },
      { case: undefined },
      { case: "allExtensionNumbersOfType", value: "pairdb.v1.PutRequest" },
    ]);
    const codes = answers.map((answer) =>
      answer.case === "errorResponse" ? answer.value.errorCode : answer.case
    );
    assert.deepEqual(codes, [5, 5, 5, 5, 3, "allExtensionNumbersResponse"]);
  }));
