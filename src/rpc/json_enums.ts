/**
 * Names in JSON that no enum has.
 *
 * Protobuf's JSON says that they are errors. The RPC library reads JSON as leniently as binary messages,
 * so that fields which a newer client knows do no harm, and a misspelt `CONSISTENCY_QUORUM` would be dropped
 * with them: the call would go on with the default, and nobody would know. So names are looked at before
 * the library reads the text.
 * @module
 */
import type { DescEnum, DescEnumValue, DescField, DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

/** What is repeated of a client's name, in characters. */
const SHOWN_MAX = 64;

/** Decodes a message's JSON from UTF-8, and refuses names that its enums do not have. */
export class EnumCheckingDecoder extends TextDecoder {
  readonly #desc: DescMessage;
  /** The fields' names as they stand in JSON. */
  readonly #names: readonly string[];

  constructor(desc: DescMessage, options: TextDecoderOptions) {
    super("utf-8", options);
    this.#desc = desc;
    this.#names = namesOf(desc, new Set()).map((name) => JSON.stringify(name));
  }

  /** Whether a message has enums at all, itself or in its parts. */
  static isFor(desc: DescMessage): boolean {
    return namesOf(desc, new Set()).length > 0;
  }

  /**
   * @throws ConnectError InvalidArgument that names the field; TypeError for what is no UTF-8, where `fatal`
   *   was asked for
   */
  override decode(...args: Parameters<TextDecoder["decode"]>): string {
    const text = super.decode(...args);
    // Most messages name no enum, and some are megabytes: those are read once.
    if (this.#names.some((name) => text.includes(name)) || text.includes("\\u")) {
      checkMessage(this.#desc, parsed(text), "");
    }
    return text;
  }
}

/** What the text says; undefined when that is nothing, for the library to tell. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The names of all fields that are enums, in a message and its parts. */
function namesOf(desc: DescMessage, seen: Set<DescMessage>): string[] {
  if (seen.has(desc)) return [];
  seen.add(desc);
  return desc.fields.flatMap((field) => {
    if (field.enum !== undefined) return [field.jsonName, field.name];
    return field.message === undefined ? [] : namesOf(field.message, seen);
  });
}

function checkMessage(desc: DescMessage, json: unknown, path: string): void {
  if (!isObject(json)) return;
  for (const field of desc.fields) {
    if (field.enum === undefined && field.message === undefined) continue;
    for (const name of new Set([field.jsonName, field.name])) {
      if (Object.hasOwn(json, name)) checkField(field, json[name], `${path}${name}`);
    }
  }
}

function checkField(field: DescField, json: unknown, path: string): void {
  const check = (value: unknown, at: string) => {
    if (field.enum !== undefined) checkEnum(field.enum, value, at);
    else if (field.message !== undefined) checkMessage(field.message, value, `${at}.`);
  };
  if (field.fieldKind === "list") {
    if (Array.isArray(json)) json.forEach((value, i) => check(value, `${path}[${i}]`));
  } else if (field.fieldKind === "map") {
    // A map's keys are the client's data, and not for errors.
    if (isObject(json)) Object.values(json).forEach((value) => check(value, `${path}[]`));
  } else check(json, path);
}

function checkEnum({ values }: DescEnum, json: unknown, path: string): void {
  if (typeof json !== "string" || values.some((each) => isNamed(each, json))) return;
  const shown = JSON.stringify(json.slice(0, SHOWN_MAX));
  const known = values.map(({ name }) => name).join(", ");
  throw new ConnectError(`${path} is ${shown}, which is none of ${known}`, Code.InvalidArgument);
}

function isNamed({ name, jsonName }: DescEnumValue, text: string): boolean {
  return name === text || jsonName === text;
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
