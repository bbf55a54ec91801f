/**
 * The memtable room.
 * @module
 */
export { Arenas } from "./arenas.ts";
export { Memtable, type SharedMemtable } from "./memtable.ts";
