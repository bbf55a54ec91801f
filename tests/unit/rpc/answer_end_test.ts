import assert from "node:assert/strict";
import { AnswerEnd } from "../../../src/rpc/answer_end.ts";

async function* chunks(count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield Uint8Array.of(i);
}

Deno.test("AnswerEnd tells once, when the body it watches is whole", async () => {
  const end = new AnswerEnd();
  let told = 0;
  end.onEnd(() => told++);
  let seen = 0;
  for await (const chunk of end.watch(chunks(3))) {
    assert.deepEqual(chunk, Uint8Array.of(seen++));
    assert.equal(told, 0);
  }
  assert.equal(seen, 3);
  assert.equal(told, 1);
  end.end();
  assert.equal(told, 1);
});

Deno.test("AnswerEnd tells when its body is left, and at once who comes later", async () => {
  const end = new AnswerEnd();
  for await (const _ of end.watch(chunks(3))) break;
  let told = 0;
  end.onEnd(() => told++);
  assert.equal(told, 1);
});
