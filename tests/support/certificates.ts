/**
 * Certificates for tests, made on the spot: nothing secret lies in the repository, and nothing expires.
 * @module
 */
import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

/** A certificate and its key, as PEM. */
export interface Pem {
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
}

/** What a certificate says. */
export interface CertificateOptions {
  /** Alternative names as `URI:…`, `DNS:…`, `EMAIL:…`, `IP:127.0.0.1`. */
  readonly names?: readonly string[];
  /** The years in which it is valid, first and last. */
  readonly years?: readonly [number, number];
}

/** A certificate authority. */
export class TestCa {
  readonly #key: KeyObject;
  readonly #name: string;
  /** Its own certificate, as PEM. */
  readonly pem: Uint8Array;

  constructor(name: string) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = privateKey;
    this.#name = name;
    const isCa = extension("551d13", sequence(boolean(true)), true);
    this.pem = this.#sign(name, publicKey, [isCa], {});
  }

  /** A certificate of this authority, with a new key. */
  issue(name: string, options: CertificateOptions = {}): Pem {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const names = (options.names ?? []).map(generalName);
    const extensions = names.length === 0 ? [] : [extension("551d11", sequence(...names), false)];
    return {
      cert: this.#sign(name, publicKey, extensions, options),
      key: utf8(privateKey.export({ type: "pkcs8", format: "pem" }) as string),
    };
  }

  #sign(
    subject: string,
    key: KeyObject,
    extensions: Uint8Array[],
    { years: [first, last] = [2020, 2049] }: CertificateOptions,
  ): Uint8Array {
    const algorithm = sequence(oid("2a8648ce3d040302"));
    const body = sequence(
      tlv(0xa0, tlv(0x02, bytes(2))),
      tlv(0x02, bytes(1), randomBytes(8)),
      algorithm,
      commonName(this.#name),
      sequence(utcTime(first, "0101000000"), utcTime(last, "1231235959")),
      commonName(subject),
      key.export({ type: "spki", format: "der" }) as Uint8Array,
      ...(extensions.length === 0 ? [] : [tlv(0xa3, sequence(...extensions))]),
    );
    const signature = sign("sha256", body, this.#key);
    const der = sequence(body, algorithm, tlv(0x03, bytes(0), signature));
    const lines = Buffer.from(der).toString("base64").replace(/.{1,64}/g, "$&\n");
    return utf8(`-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`);
  }
}

/** A PEM block's bytes. */
export function derOf(pem: Uint8Array): Uint8Array {
  const text = new TextDecoder().decode(pem).replace(/-----[^-]+-----/g, "");
  return new Uint8Array(Buffer.from(text, "base64"));
}

function tlv(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >> 8, length & 0xff];
  return new Uint8Array(Buffer.concat([bytes(...head), content]));
}

const sequence = (...parts: Uint8Array[]) => tlv(0x30, ...parts);
const bytes = (...values: number[]) => Uint8Array.from(values);
const boolean = (value: boolean) => tlv(0x01, bytes(value ? 0xff : 0));
const oid = (hex: string) => tlv(0x06, Uint8Array.fromHex(hex));
const utf8 = (text: string) => new TextEncoder().encode(text);
const utcTime = (year: number, rest: string) => tlv(0x17, utf8(`${String(year).slice(2)}${rest}Z`));
const commonName = (name: string) =>
  sequence(tlv(0x31, sequence(oid("550403"), tlv(0x0c, utf8(name)))));

function extension(id: string, value: Uint8Array, critical: boolean): Uint8Array {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), tlv(0x04, value));
}

function generalName(name: string): Uint8Array {
  const colon = name.indexOf(":");
  const text = name.slice(colon + 1);
  switch (name.slice(0, colon)) {
    case "URI":
      return tlv(0x86, utf8(text));
    case "DNS":
      return tlv(0x82, utf8(text));
    case "EMAIL":
      return tlv(0x81, utf8(text));
    default:
      return tlv(0x87, bytes(...text.split(".").map(Number)));
  }
}
