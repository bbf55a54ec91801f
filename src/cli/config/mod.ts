/**
 * Configuration: options, their documentation, and how they are loaded.
 * @module
 */
export { configurationPage } from "./docs.ts";
export {
  environmentSettings,
  fileSettings,
  flagSetting,
  resolveConfig,
  type Setting,
} from "./load.ts";
export { type Option, OPTIONS } from "./options.ts";
export { plainConfig, printConfig } from "./print.ts";
export { type Config, hostAndPort, SECTIONS } from "./schema.ts";
