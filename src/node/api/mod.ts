/**
 * What the calls of a storage node take and give, a concept a file. The calls themselves: `../api.ts`.
 * @module
 */
export type * from "./explanation.ts";
export type * from "./figures.ts";
export type * from "./keys.ts";
export type * from "./migration.ts";
export type * from "./tenants.ts";
export type * from "./transfer.ts";
export type * from "./upkeep.ts";
export type * from "./watch.ts";
