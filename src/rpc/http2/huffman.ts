/**
 * HPACK's Huffman code (RFC 7541, 5.2 and Appendix B), both ways.
 *
 * The code is canonical: codes of one length count upwards in the order of their symbols, and a longer code
 * goes on where the shorter ones have ended. So the lengths are all there is to know.
 *
 * Decoding takes four bits a step: a state is an inner node of the code's tree, and the table says for each
 * state and nibble which node comes next, and which symbol was completed on the way. The shortest code has
 * five bits, so a nibble never completes two.
 *
 *     "0" is 00000, "a" is 00011; 00000000 11111111 is "0", "a", and six ones of padding
 *     state root, nibble 0000 -> node 0000             nothing yet
 *     node 0000, nibble 0000  -> node 000              "0" after one bit, three bits of the next
 *     node 000, nibble 1111   -> node 11               "a" after two bits, two bits of the next
 *     node 11, nibble 1111    -> node 111111           the end
 *
 * Padding is the beginning of the code of EOS, which is thirty ones, and shorter than a byte. The nodes on
 * EOS's path are numbered by their depth, so a string has ended well in one of the states 0 to 7.
 * @module
 */

/** The length of each symbol's code, in bits: the bytes from 0 to 255, and EOS. */
// deno-fmt-ignore -- sixteen to a line, as bytes are counted
const LENGTHS: Uint8Array = Uint8Array.of(
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
);
const EOS = 256;

/** The code of each symbol, in the low bits. */
const CODES: Uint32Array = ((): Uint32Array => {
  const codes = new Uint32Array(LENGTHS.length);
  const symbols = Array.from(LENGTHS.keys()).sort((a, b) => LENGTHS[a] - LENGTHS[b] || a - b);
  let code = 0;
  let length = LENGTHS[symbols[0]];
  for (const symbol of symbols) {
    code *= 2 ** (LENGTHS[symbol] - length);
    length = LENGTHS[symbol];
    codes[symbol] = code++;
  }
  return codes;
})();

/** Inner nodes of the tree: one fewer than symbols. */
const NODES = LENGTHS.length - 1;
/** Where a string goes that has EOS in it, never to come back. */
const LOST = NODES;
/** The last state in which a string may end: seven bits of padding. */
const PADDING_MAX = 7;
/** A step's entry: the next state in nine bits, whether a symbol was completed, the symbol. */
const STATE_MASK = 0x1ff;
const COMPLETED = 0x200;
const SYMBOL_SHIFT = 10;

/** What a nibble leads to: sixteen entries for each state. */
const STEPS: Uint32Array = ((): Uint32Array => {
  // Two children for each node; a leaf is written as -1 - symbol.
  const children = new Int32Array(2 * NODES);
  let nodes = 1;
  // EOS first: its path has the states that count up from 0, the root.
  for (const symbol of [EOS, ...Array(EOS).keys()]) {
    let node = 0;
    for (let left = LENGTHS[symbol] - 1; left > 0; left--) {
      const child = 2 * node + (CODES[symbol] >>> left & 1);
      if (children[child] === 0) children[child] = nodes++;
      node = children[child];
    }
    children[2 * node + (CODES[symbol] & 1)] = -1 - symbol;
  }
  const steps = new Uint32Array(16 * (NODES + 1)).fill(LOST);
  for (let state = 0; state < NODES; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      steps[16 * state + nibble] = stepOf(children, state, nibble);
    }
  }
  return steps;
})();

/** The entry of one state and nibble. */
function stepOf(children: Int32Array, state: number, nibble: number): number {
  let node = state;
  let completed = 0;
  for (let bit = 3; bit >= 0; bit--) {
    node = children[2 * node + (nibble >>> bit & 1)];
    if (node >= 0) continue;
    const symbol = -1 - node;
    if (symbol === EOS) return LOST;
    completed = COMPLETED | symbol << SYMBOL_SHIFT;
    node = 0;
  }
  return node | completed;
}

/**
 * Decodes `from[start, end)`.
 * @param into  from its beginning on it gets the bytes, as far as it has room
 * @returns how many bytes there are, which can be more than `into` has room for; -1 when the string holds
 *   EOS, or does not end in fewer than eight bits of padding that are all ones
 */
export function huffmanDecode(
  from: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
): number {
  const steps = STEPS;
  const room = into.length;
  let state = 0;
  let count = 0;
  for (let i = start; i < end; i++) {
    const byte = from[i];
    const high = steps[state << 4 | byte >>> 4];
    if (high & COMPLETED) {
      if (count < room) into[count] = high >>> SYMBOL_SHIFT;
      count++;
    }
    const low = steps[(high & STATE_MASK) << 4 | byte & 15];
    if (low & COMPLETED) {
      if (count < room) into[count] = low >>> SYMBOL_SHIFT;
      count++;
    }
    state = low & STATE_MASK;
  }
  return state <= PADDING_MAX ? count : -1;
}

/**
 * How many bytes a text takes when it is coded.
 * @param text  one character per byte
 * @throws RangeError for a character above 255
 */
export function huffmanBytes(text: string): number {
  let bits = 0;
  let all = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    all |= code;
    bits += LENGTHS[code & 0xff];
  }
  if (all > 0xff) throw new RangeError("Encode a header: it has a character that is no byte");
  return (bits + 7) >>> 3;
}

/**
 * Codes a text of characters up to 255 into `into[at, ...)`. What lies behind the end of `into` is lost.
 * @returns where it ends, which may be behind the end of `into`
 */
export function huffmanEncode(text: string, into: Uint8Array, at: number): number {
  let end = at;
  let current = 0;
  let free = 8;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    let code = CODES[symbol];
    let left = LENGTHS[symbol];
    while (left >= free) {
      left -= free;
      into[end++] = current | code >>> left;
      code &= (1 << left) - 1;
      current = 0;
      free = 8;
    }
    free -= left;
    current |= code << free;
  }
  if (free < 8) into[end++] = current | (1 << free) - 1;
  return end;
}
