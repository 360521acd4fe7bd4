// Limits of what is read out of requests before it is known which model they are for.

/** Longer names and versions are refused with INVALID_ARGUMENT; no model has such a name. */
export const MAX_NAME_BYTES = 1024;
