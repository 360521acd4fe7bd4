// What one caller may take of the gateway. Each limit says what happens when it is hit.

const MIB = 1024 * 1024;

/** Open connections; one more is closed at once. */
export const MAX_CONNECTIONS = 2_048;
/** A kept-alive connection without a request ends after this. */
export const KEEP_ALIVE_TIMEOUT_MS = 72_000;
/** Without a byte in either direction a connection ends; longer than any deadline. */
export const IDLE_CONNECTION_TIMEOUT_MS = 660_000;

/** Bodies of administration calls; above it 413. */
export const MAX_ADMIN_BODY_BYTES = 4 * MIB;
/** Bodies held in memory by all requests together; past it 503 until others are done. */
export const MAX_BUFFERED_BODY_BYTES = 256 * MIB;
/** A body that is read into memory must be whole after this; else 408. */
export const BODY_TIMEOUT_MS = 120_000;
/** An upload must bring so many bytes, or end, in each such window of time; else 408. */
export const UPLOAD_WINDOW_MS = 30_000;
export const MIN_UPLOAD_WINDOW_BYTES = 64 * 1024;
/** Lists and objects inside one another in JSON; deeper is refused with 400. */
export const MAX_JSON_DEPTH = 100;
/** JSON of an inference request apart from its tensors' data; above it 400. */
export const MAX_INFER_HEAD_BYTES = MIB;

/** One uploaded file; above it 413 and nothing is kept. */
export const DEFAULT_MAX_UPLOAD_BYTES = 8 * 1024 * MIB;
/** Uploads at a time; one more gets 503. */
export const MAX_CONCURRENT_UPLOADS = 16;
/** Files in one multipart upload; one more is refused with 413. */
export const MAX_UPLOAD_FILES = 1_000;
/** Fields of a form that are no files are not used, only held: above these 413. */
export const MAX_FORM_FIELDS = 64;
export const MAX_FORM_FIELD_BYTES = 16 * 1024;

/** Longest deadline that a caller may ask for; more is cut to it. */
export const MAX_DEADLINE_MS = 600_000;
/** Event streams at a time; one more gets 503. */
export const MAX_EVENT_STREAMS = 256;
/** A comment is sent this often on a silent event stream, so that proxies keep it open. */
export const EVENT_HEARTBEAT_MS = 15_000;
/** Time that requests have to end after stop() was called; then they are cut. */
export const DEFAULT_DRAIN_TIMEOUT_MS = 5_000;
