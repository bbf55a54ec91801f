/**
 * Runtime: the world, handed in. Everything above floor 0 that needs time, chance, files, sockets,
 * threads or a log takes it from here.
 * @module
 */
import type { Clock } from "./clock.ts";
import type { Disk } from "./disk.ts";
import type { Log } from "./log.ts";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";
import type { Usage } from "./usage.ts";
import type { Workers } from "./workers.ts";

/** One process's world. */
export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly network: Network;
  readonly workers: Workers;
  readonly log: Log;
  readonly usage: Usage;
}
