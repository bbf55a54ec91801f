/**
 * The memtable room.
 * @module
 */
export { Memtable, type SharedMemtable } from "./memtable.ts";
