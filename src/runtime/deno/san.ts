/**
 * A certificate's alternative names, read from its bytes (X.509 v3, DER; RFC 5280, section 4.2.1.6).
 *
 *     Certificate      SEQUENCE { tbsCertificate, … }
 *     tbsCertificate   SEQUENCE { …, [3] { SEQUENCE OF Extension } }
 *     Extension        SEQUENCE { OID, critical BOOLEAN?, OCTET STRING }
 *     SubjectAltName   SEQUENCE OF [1] email | [2] dns | [6] uri | others
 *
 * The platform gives all names as one text, `URI:a, DNS:b`, without marking what stands in a name: with
 * the URI `a, DNS:admin` a client would give itself a second name.
 * @module
 */

/** One element: where its content is. */
interface Element {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

const SEQUENCE = 0x30;
const OBJECT_ID = 0x06;
const OCTET_STRING = 0x04;
const EXTENSIONS = 0xa3;
/** 2.5.29.17 */
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];
const KINDS: Readonly<Record<number, string>> = { 0x81: "EMAIL", 0x82: "DNS", 0x86: "URI" };

/**
 * Names of a certificate: `URI:…`, `DNS:…` in lower case, `EMAIL:…`. Other kinds, and names with other
 * than printable ASCII letters, are left out.
 * @param der  the certificate
 * @throws Error when the bytes are no certificate; what is verified by the platform is one
 */
export function alternativeNames(der: Uint8Array): string[] {
  const body = childrenOf(der, only(der, { tag: 0, start: 0, end: der.length }))[0];
  const holder = childrenOf(der, body).find(({ tag }) => tag === EXTENSIONS);
  if (holder === undefined) return [];
  const names: string[] = [];
  for (const extension of childrenOf(der, only(der, holder))) {
    const parts = childrenOf(der, extension);
    const value = parts.at(-1);
    if (!isAltName(der, parts[0]) || value?.tag !== OCTET_STRING) continue;
    for (const { tag, start, end } of childrenOf(der, only(der, value))) {
      const text = String.fromCharCode(...der.subarray(start, Math.min(end, start + 2048)));
      const kind = KINDS[tag];
      if (kind === undefined || end - start > 2048 || !/^[!-~]+$/.test(text)) continue;
      names.push(`${kind}:${kind === "DNS" ? text.toLowerCase() : text}`);
    }
  }
  return names;
}

function isAltName(der: Uint8Array, part: Element | undefined): boolean {
  return part?.tag === OBJECT_ID && part.end - part.start === SUBJECT_ALT_NAME.length &&
    SUBJECT_ALT_NAME.every((byte, i) => der[part.start + i] === byte);
}

/** The one sequence in an element. */
function only(der: Uint8Array, within: Element): Element {
  const [first] = childrenOf(der, within);
  if (first?.tag !== SEQUENCE) throw malformed();
  return first;
}

function childrenOf(der: Uint8Array, within: Element | undefined): Element[] {
  if (within === undefined) throw malformed();
  const children: Element[] = [];
  for (let at = within.start; at < within.end;) {
    const child = elementAt(der, at, within.end);
    children.push(child);
    at = child.end;
  }
  return children;
}

function elementAt(der: Uint8Array, at: number, limit: number): Element {
  if (at + 2 > limit) throw malformed();
  const tag = der[at];
  let length = der[at + 1];
  let start = at + 2;
  if (length >= 0x80) {
    // DER has no indefinite lengths (0x80), and four bytes are more than any certificate has.
    const bytes = length & 0x7f;
    if (bytes === 0 || bytes > 4 || start + bytes > limit) throw malformed();
    length = 0;
    for (let i = 0; i < bytes; i++) length = length * 256 + der[start + i];
    start += bytes;
  }
  if (start + length > limit) throw malformed();
  return { tag, start, end: start + length };
}

function malformed(): Error {
  return new Error("the certificate is malformed");
}
