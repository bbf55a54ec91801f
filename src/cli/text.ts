/**
 * Text: values and messages made fit for a line of a terminal or of JSON.
 * @module
 */

// A byte order mark is part of a value; without ignoreBOM it would be lost on the way.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text that these bytes are the UTF-8 of, exactly; undefined when there is none. */
export function exactText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes as Uint8Array<ArrayBuffer>);
  } catch {
    // Ill-formed, which is what undefined says.
    return undefined;
  }
}

/** The value as fields of a JSON object: text where that is exact, otherwise base64. */
export function valueFields(
  bytes: Uint8Array,
): { value: string } | { value_base64: string } {
  const text = exactText(bytes);
  return text === undefined ? { value_base64: bytes.toBase64() } : { value: text };
}

/** Text on one line, with nothing in it that drives a terminal or forges a line. */
export function oneLine(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex -- finding control characters is the purpose
    /[\\\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => ESCAPES[character] ?? unicodeEscape(character),
  );
}

/** A number and what it counts: `1 table`, `2 tables`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** A value on one line: escaped text, or `base64:…` for bytes that are none. */
export function valueOnOneLine(bytes: Uint8Array): string {
  const text = exactText(bytes);
  return text === undefined ? `base64:${bytes.toBase64()}` : oneLine(text);
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
