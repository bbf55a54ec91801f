import assert from "node:assert/strict";
import {
  answerName,
  AnswerRoom,
  type AnswerTurn,
  readBatchInTurn,
  readInTurn,
  SMALL_ANSWER_BYTES,
} from "../../../src/rpc/answer_room.ts";
import { SimClock } from "../../../src/runtime/mod.ts";

const LARGE = 1000 * SMALL_ANSWER_BYTES;

function setUp() {
  const port = { queuedBytes: 0 };
  const limits = { answerBytes: 2000, connectionAnswerBytes: 3 * LARGE, connectionHoldBytes: 100 };
  const clock = new SimClock();
  const room = new AnswerRoom({ clock, limits, queuedBytes: () => port.queuedBytes });
  const given: string[] = [];
  /** Waits under a name, on a connection of its own where none is named. */
  const wait = (name: string, taker = { queuedBytes: 0 }): AnswerTurn => {
    const turn = room.of(taker);
    turn.wait(LARGE, () => given.push(name));
    return turn;
  };
  /** Lets everything go on that waits for nothing else. */
  const settle = async () => {
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 20; j++) await Promise.resolve();
      await clock.advance(0);
    }
    for (let j = 0; j < 20; j++) await Promise.resolve();
  };
  return { clock, port, room, given, wait, settle };
}

Deno.test("AnswerRoom asks nobody whose answer is small", () => {
  const { port, room } = setUp();
  port.queuedBytes = Infinity;
  for (let i = 0; i < 1000; i++) assert.ok(room.of({ queuedBytes: 9e9 }).take(SMALL_ANSWER_BYTES));
  assert.equal(room.isBusy, true);
  assert.equal(room.waited, 0);
});

Deno.test("AnswerRoom gives one turn after the other for what is large, and several at once below 2 MiB", async () => {
  const { room, given, wait, settle } = setUp();
  const first = room.of({ queuedBytes: 0 });
  assert.ok(first.take(LARGE));
  const second = wait("second");
  wait("third");
  await settle();
  assert.deepEqual(given, []);
  assert.equal(room.waiting, 2);
  first.end();
  await settle();
  assert.deepEqual(given, ["second"]);
  second.end();
  await settle();
  assert.deepEqual(given, ["second", "third"]);
  assert.equal(room.waiting, 0);

  const other = setUp().room;
  const sizes = Array.from({ length: 40 }, () => other.of({ queuedBytes: 0 }).take(100_000));
  assert.equal(sizes.filter(Boolean).length, 20);
});

Deno.test("AnswerRoom.close() leaves no timer", () => {
  const { clock, room, wait } = setUp();
  wait("a");
  assert.equal(clock.pendingCount, 1);
  room.close();
  assert.equal(clock.pendingCount, 0);
});

Deno.test("AnswerRoom goes round the connections", async () => {
  const { room, given, wait, settle } = setUp();
  const holder = room.of({ queuedBytes: 0 });
  assert.ok(holder.take(LARGE));
  const many = { queuedBytes: 0 };
  const turns = [wait("a1", many), wait("a2", many), wait("a3", many), wait("b1"), wait("c1")];
  holder.end();
  for (let i = 0; i < 5; i++) {
    await settle();
    assert.equal(given.length, i + 1, "one at a time");
    turns[["a1", "a2", "a3", "b1", "c1"].indexOf(given[i])].end();
  }
  assert.deepEqual(given, ["a1", "b1", "c1", "a2", "a3"]);
});

Deno.test("AnswerRoom makes nothing more while too much waits on the port, or on the connection", async () => {
  const { port, room, given, wait, settle } = setUp();
  port.queuedBytes = 2001;
  const full = { queuedBytes: 101 };
  wait("full", full);
  const turn = wait("other");
  await settle();
  assert.deepEqual(given, []);
  port.queuedBytes = 2000;
  room.advance();
  await settle();
  assert.deepEqual(given, ["other"], "who takes nothing holds nobody else up");
  turn.end();
  full.queuedBytes = 100;
  room.advance();
  await settle();
  assert.deepEqual(given, ["other", "full"]);
});

Deno.test("AnswerTurn.close() ends a turn, and the wait for one", async () => {
  const { room, given, wait, settle } = setUp();
  const mine = room.of({ queuedBytes: 0 });
  assert.ok(mine.take(LARGE));
  const gone = room.of({ queuedBytes: 0 });
  const waited = gone.waited(LARGE);
  wait("next");
  gone.close();
  await assert.rejects(waited, { rawMessage: "the client went away" });
  assert.equal(room.waiting, 1);
  mine.close();
  await settle();
  assert.deepEqual(given, ["next"]);
  // An exchange that has ended counts no more.
  assert.ok(mine.take(LARGE));
  mine.end();
  mine.close();
});

Deno.test("AnswerTurn.hold() is refused when those who wait hold too much", async () => {
  const { room, settle } = setUp();
  const mine = room.of({ queuedBytes: 0 });
  mine.take(LARGE);
  const turns = Array.from({ length: 4 }, () => room.of({ queuedBytes: 0 }));
  const held = turns.slice(0, 3).map((turn) => turn.hold(LARGE));
  await assert.rejects(turns[3].hold(LARGE), { rawMessage: /^too many large answers wait/ });
  assert.equal(room.refused, 1);
  mine.end();
  await settle();
  await held[0];
  // It is counted as made now, and no more as held.
  const last = turns[3].hold(LARGE);
  turns[1].close();
  turns[2].close();
  await assert.rejects(held[1]);
  await assert.rejects(held[2]);
  turns[0].end();
  await settle();
  await last;
});

Deno.test("readInTurn() lets go of what is large and reads it again, and knows of it the next time", async () => {
  const { room, settle } = setUp();
  const mine = room.of({ queuedBytes: 0 });
  mine.take(LARGE);
  let reads = 0;
  const how = {
    name: answerName("t", "k"),
    read: () => ({ bytes: LARGE, nth: ++reads }),
    sizeOf: ({ bytes }: { bytes: number }) => bytes,
  };
  const turns = [0, 1].map(() => room.of({ queuedBytes: 0 }));
  const first = readInTurn(turns[0], how);
  assert.equal(reads, 1, "at once");
  const second = readInTurn(turns[1], how);
  await settle();
  assert.equal(reads, 1, "what is known to be large is not read before its turn");
  mine.end();
  await settle();
  assert.equal((await first).nth, 2);
  await settle();
  assert.equal(reads, 2);
  turns[0].end();
  await settle();
  assert.equal((await second).nth, 3);
  turns[1].end();
  assert.equal(room.waiting, 0);
});

Deno.test("readInTurn() gives the turn back when an answer is not large any more", async () => {
  const { room, settle } = setUp();
  const sizes = [LARGE, 1, 1];
  const how = {
    name: answerName("t", "k"),
    read: () => Promise.resolve({ bytes: sizes.shift()! }),
    sizeOf: ({ bytes }: { bytes: number }) => bytes,
  };
  const mine = room.of({ queuedBytes: 0 });
  mine.take(LARGE);
  const reading = readInTurn(room.of({ queuedBytes: 0 }), how);
  await settle();
  mine.end();
  await settle();
  assert.deepEqual(await reading, { bytes: 1 });
  assert.equal(room.isBusy, false);
  assert.equal(room.expected(how.name), 0);
});

Deno.test("readInTurn() fails as the read does", async () => {
  const { room } = setUp();
  const failing = {
    name: "x",
    read: (): Promise<object> => Promise.reject(new Error("no")),
    sizeOf: () => 0,
  };
  for (const turn of [undefined, room.of({ queuedBytes: 0 })]) {
    await assert.rejects(readInTurn(turn, failing), { message: "no" });
    await assert.rejects(readBatchInTurn(turn, failing), { message: "no" });
  }
});

Deno.test("readBatchInTurn() begins few reads in a step, and waits for none that takes longer", async () => {
  const { room, settle } = setUp();
  const begun: number[] = [];
  const end: (() => void)[] = [];
  const turns: AnswerTurn[] = [];
  const found = Array.from({ length: 6 }, (_, i) => {
    const turn = room.of({ queuedBytes: 0 });
    turns.push(turn);
    return readBatchInTurn(turn, {
      name: answerName("t", i, 3),
      read: () =>
        new Promise<object>((resolve) => {
          begun.push(i);
          end.push(() => resolve({}));
        }),
      sizeOf: () => LARGE,
    });
  });
  for (let i = 0; i < 20; i++) await Promise.resolve();
  assert.deepEqual(begun, [0, 1, 2, 3]);
  await settle();
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 5]);
  for (let i = 0; i < 6; i++) end[i]();
  await found[0];
  // The others are read again, one after the other.
  for (let i = 1; i < 6; i++) {
    turns[i - 1].end();
    await settle();
    assert.equal(begun.length, 6 + i);
    end[5 + i]();
    await found[i];
  }
});
