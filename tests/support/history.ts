/**
 * What may be there after a crash: a record of operations and their answers, and a judge.
 *
 * The clock of a history counts begins and answers. An operation without an answer may have happened
 * at any time after its begin, or not at all. Several writers may write one key at once.
 *
 *     X:  begin ──────── answer
 *     Y:                          begin ─ …      X may not be what is there when Y happened
 *
 * Y happened when it was answered, or when any part of it is seen: a batch of which one key is seen has
 * to be there with all of its keys. Deletes are operations like the others: what they leave is nothing.
 * @module
 */

/** One put, delete or batch of puts. Its number says whose a value is. */
export interface Operation {
  readonly id: number;
  readonly kind: "put" | "batch" | "delete";
  readonly tenant: string;
  readonly keys: readonly string[];
}

interface Record extends Operation {
  readonly begin: number;
  /** Infinity: there was none. */
  answer: number;
  happened: boolean;
}

/** Before all time, every key was deleted. */
const NEVER: Record = {
  id: 0,
  kind: "delete",
  tenant: "",
  keys: [],
  begin: -2,
  answer: -1,
  happened: true,
};

/** The name of a key among those of all tenants. */
export function nameOf(tenant: string, key: string): string {
  // No tenant id has a colon.
  return `${tenant}:${key}`;
}

/** Operations on any number of keys, since the last judgement. */
export class History {
  /** By name: what may be there. The first is what was seen at the last judgement. */
  readonly #keys = new Map<string, Record[]>();
  readonly #byId = new Map<number, Record>();
  #now = 0;
  #ids = 0;
  /** Operations that were never answered, and yet were seen. */
  unansweredHappened = 0;

  /** Notes an operation that is about to be sent. @param keys  each once */
  begin(kind: Operation["kind"], tenant: string, keys: readonly string[]): Operation {
    const operation: Record = {
      id: ++this.#ids,
      kind,
      tenant,
      keys,
      begin: this.#now++,
      answer: Infinity,
      happened: false,
    };
    this.#byId.set(operation.id, operation);
    for (const key of keys) this.#of(nameOf(tenant, key)).push(operation);
    return operation;
  }

  /** Notes that it was acknowledged. */
  acknowledge({ id }: Operation): void {
    const operation = this.#byId.get(id)!;
    operation.answer = this.#now++;
    operation.happened = true;
  }

  /** The operation of a number, as long as what it wrote may be there. */
  operation(id: number): Operation | undefined {
    return this.#byId.get(id);
  }

  /**
   * Compares what is there with what may be there. What is there then is where the history goes on.
   * @param seen  by name: the number of the operation whose value is there; no entry: no value
   * @returns what is wrong, one text for each key; empty when all is well
   */
  judge(seen: ReadonlyMap<string, number>): string[] {
    const wrong: string[] = [];
    for (const [name, id] of seen) {
      const operation = this.#of(name).find((each) => each.id === id);
      if (operation === undefined || operation.kind === "delete") {
        wrong.push(`${name} holds operation ${id}, which was replaced long ago or never wrote it`);
      } else if (!operation.happened) {
        operation.happened = true;
        this.unansweredHappened++;
      }
    }
    // Only now is it known what happened.
    for (const [name, operations] of this.#keys) {
      const id = seen.get(name);
      const there = operations.filter(id === undefined ? isDelete : (each) => each.id === id);
      const begins = operations.map((each) => each.happened ? each.begin : -Infinity);
      const latest = Math.max(...begins);
      const possible = there.filter((each) => each.answer > latest);
      // A value that never belonged there was told above.
      const told = id !== undefined && there.length === 0;
      if (possible.length === 0 && !told) {
        const lost = operations[begins.indexOf(latest)];
        wrong.push(
          `${name} holds ${id === undefined ? "nothing" : `operation ${id}`}, and should hold ` +
            `${lost.kind} ${lost.id} (${lost.answer < Infinity ? "answered" : "seen elsewhere"})`,
        );
      }
      this.#keys.set(name, [possible.at(-1) ?? NEVER]);
    }
    this.#goOn();
    return wrong;
  }

  /** What is there now was there before all that begins from here on; what is not, is forgotten. */
  #goOn(): void {
    this.#byId.clear();
    for (const [operation] of this.#keys.values()) {
      if (operation === NEVER) continue;
      operation.answer = Math.min(operation.answer, this.#now);
      operation.happened = true;
      this.#byId.set(operation.id, operation);
    }
    this.#now++;
  }

  #of(name: string): Record[] {
    let operations = this.#keys.get(name);
    if (operations === undefined) this.#keys.set(name, operations = [NEVER]);
    return operations;
  }
}

function isDelete({ kind }: Operation): boolean {
  return kind === "delete";
}
