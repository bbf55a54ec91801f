/**
 * The RPC room: the port, and the services that are bound to it.
 * @module
 */
export { openPort, type Port, type PortOptions } from "./port.ts";
export { DEFAULT_PORT_LIMITS, type PortLimits } from "./limits.ts";
export { STATUS } from "./errors.ts";
