/**
 * The attackers of `bench/abuse.ts`, in a process of their own: one attack on a port, again and again until it
 * is killed. For each line on its input it says how many connections and bytes that has taken so far.
 *
 *     deno run -A bench/abuse/rounds.ts PING 4000     an attack
 *     deno run -A bench/abuse/rounds.ts               a port that takes connections and drops what comes
 * @module
 */
import { ERROR } from "../../src/rpc/http2/mod.ts";
import { Attacker } from "../../tests/support/attacker.ts";
import { FLOODS, HEADER_BOMBS, headerFrames, MADE_TO_RESET } from "../../tests/support/attacks.ts";
import { joined } from "../../tests/support/http2_peer.ts";

const FRAMES = 10_000;
const BOMBS = 50;
/** Attackers at once: one that waits for the end of its connection does not make a pause of the attack. */
const ATTACKERS = 4;

/** Opens a connection that is counted. */
type Open = (windowBytes?: number) => Promise<Attacker>;

/** One round of an attack, by name. */
export const ROUNDS: Readonly<Record<string, (open: Open) => Promise<void>>> = {
  ...Object.fromEntries(
    Object.entries(FLOODS).map((
      [name, [, make]],
    ) => [name, flood(make, name.startsWith("windows") ? 0 : undefined)]),
  ),
  ...Object.fromEntries(
    Object.entries(MADE_TO_RESET).map(([name, make]) => [
      `made to reset: ${name}`,
      flood((attacker) => (i) => joined(make(attacker, 2 * i + 1))),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(HEADER_BOMBS).map(([name, make]) => [
      `header bomb: ${name}`,
      async (open: Open) => {
        const attacker = await open();
        const block = make(attacker);
        await attacker.flood(BOMBS, (i) => headerFrames(2 * i + 1, block));
        await attacker.close();
      },
    ]),
  ),
};

function flood(
  make: (attacker: Attacker) => (i: number) => Uint8Array,
  windowBytes?: number,
): (open: Open) => Promise<void> {
  return async (open) => {
    const attacker = await open(windowBytes);
    await attacker.flood(FRAMES, make(attacker));
    // A port that only drops never says anything.
    if (attacker.goAway === ERROR.ENHANCE_YOUR_CALM) await attacker.ended();
    await attacker.close();
  };
}

/** What an attack has taken so far. */
export interface Taken {
  readonly connections: number;
  readonly bytes: number;
}

async function attack(name: string, port: number): Promise<void> {
  let connections = 0;
  let bytes = 0;
  const open = new Set<Attacker>();
  void answer(() => {
    const now = [...open].reduce((sum, { socket }) => sum + socket.bytesWritten, 0);
    return { connections, bytes: bytes + now };
  });
  const attackWithoutEnd = async () => {
    for (;;) {
      let mine: Attacker | undefined;
      await ROUNDS[name](async (windowBytes) => {
        connections++;
        mine = await Attacker.open(port, windowBytes);
        open.add(mine);
        return mine;
      }).catch(() => {});
      if (mine === undefined) continue;
      open.delete(mine);
      bytes += mine.socket.bytesWritten;
    }
  };
  await Promise.all(Array.from({ length: ATTACKERS }, attackWithoutEnd));
}

/** Answers each line of the input. */
async function answer(taken: () => Taken): Promise<void> {
  for await (const _ of Deno.stdin.readable) {
    await Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(taken())}\n`));
  }
}

/** Takes connections and drops what comes. */
async function sink(): Promise<void> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  await Deno.stdout.write(new TextEncoder().encode(`ready on http://127.0.0.1:${port}\n`));
  for await (const connection of listener) {
    // Attackers are killed amid their sentences.
    void connection.readable.pipeTo(new WritableStream()).catch(() => {});
  }
}

if (import.meta.main) {
  const [name, port] = Deno.args;
  await (name === undefined ? sink() : attack(name, Number(port)));
}
