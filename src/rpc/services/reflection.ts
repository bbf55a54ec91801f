/**
 * grpc.reflection, v1 and v1alpha: tells tools such as grpcurl what services there are and what their
 * messages look like, so that they need no proto file.
 * @module
 */
import { type DescFile, type DescMessage, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import {
  type ServerReflection,
  type ServerReflectionRequest,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  type ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as ServerReflectionRequestAlpha,
} from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";

/** The versions differ in their names alone. */
type Request = ServerReflectionRequest | ServerReflectionRequestAlpha;

/** The parts of an answer that do not depend on the protocol's version. */
type Answer =
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

/** Binds the stable version of the service. */
export function reflectionService(
  catalog: Catalog,
): Required<ServiceImpl<typeof ServerReflection>> {
  return { serverReflectionInfo: (requests) => answers(catalog, requests) };
}

/** Binds the older version, which many tools still speak. */
export function reflectionAlphaService(
  catalog: Catalog,
): Required<ServiceImpl<typeof ServerReflectionAlpha>> {
  return { serverReflectionInfo: (requests) => answers(catalog, requests) };
}

async function* answers<T extends Request>(catalog: Catalog, requests: AsyncIterable<T>) {
  for await (const request of requests) {
    yield {
      validHost: request.host,
      originalRequest: request,
      messageResponse: catalog.answer(request.messageRequest),
    };
  }
}

/** The served proto files, by name and by what they declare. */
export class Catalog {
  #services: string[] = [];
  #files = new Map<string, DescFile>();
  #symbols = new Map<string, DescFile>();
  #messages = new Set<string>();

  /** @param files  the files whose services are listed; what they import is known too */
  constructor(files: readonly DescFile[]) {
    for (const file of files) {
      this.#add(file);
      for (const service of file.services) this.#services.push(service.typeName);
    }
    this.#services.sort();
  }

  /** The answer to one question. */
  answer(question: Request["messageRequest"]): Answer {
    switch (question.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: this.#services.map((name) => ({ name })) },
        };
      case "fileByFilename":
        return this.#file(this.#files.get(question.value), "file");
      case "fileContainingSymbol":
        return this.#file(this.#symbols.get(question.value), "symbol");
      case "allExtensionNumbersOfType":
        return this.#messages.has(question.value)
          ? { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value } }
          : problem(Code.NotFound, "there is no such message type");
      case "fileContainingExtension":
        return problem(Code.NotFound, "there are no extensions");
      default:
        return problem(Code.InvalidArgument, "the question is missing");
    }
  }

  /** A file and all that it imports, each once, importers first. */
  #file(file: DescFile | undefined, what: string): Answer {
    if (file === undefined) return problem(Code.NotFound, `there is no such ${what}`);
    const files = new Set([file]);
    // A set takes what is added while it is walked, so this reaches indirect imports too.
    for (const each of files) for (const dependency of each.dependencies) files.add(dependency);
    return {
      case: "fileDescriptorResponse",
      value: {
        fileDescriptorProto: [...files].map((each) =>
          toBinary(FileDescriptorProtoSchema, each.proto)
        ),
      },
    };
  }

  #add(file: DescFile): void {
    if (this.#files.has(file.proto.name)) return;
    this.#files.set(file.proto.name, file);
    for (const dependency of file.dependencies) this.#add(dependency);
    for (const service of file.services) {
      this.#symbols.set(service.typeName, file);
      for (const method of service.methods) {
        this.#symbols.set(`${service.typeName}.${method.name}`, file);
      }
    }
    for (const message of file.messages) this.#addMessage(message, file);
    for (const each of file.enums) this.#symbols.set(each.typeName, file);
  }

  #addMessage(message: DescMessage, file: DescFile): void {
    this.#messages.add(message.typeName);
    this.#symbols.set(message.typeName, file);
    for (const field of message.fields) {
      this.#symbols.set(`${message.typeName}.${field.name}`, file);
    }
    for (const nested of message.nestedMessages) this.#addMessage(nested, file);
    for (const nested of message.nestedEnums) this.#symbols.set(nested.typeName, file);
  }
}

function problem(errorCode: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
