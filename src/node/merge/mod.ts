/**
 * Merge functions of the application.
 * @module
 */
export { MergeFunctions } from "./functions.ts";
export { MergedScan } from "./scan.ts";
