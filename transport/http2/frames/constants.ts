// The numbers of HTTP/2 (RFC 9113) with the names that logs and test scripts use for them.

/** Frame types, RFC 9113 section 6. */
export const FrameType = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

/** Flags, RFC 9113 section 6: ACK shares its bit with END_STREAM. */
export const Flag = {
  END_STREAM: 0x1,
  ACK: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

/** Error codes, RFC 9113 section 7. */
export const ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

export type ErrorCodeName = keyof typeof ErrorCode;

/** Settings, RFC 9113 section 6.5.2. */
export const SettingId = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
} as const;

/** What a client sends first, RFC 9113 section 3.4. */
export const CLIENT_PREFACE: Uint8Array = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Length, type, flags and stream id in front of every frame's payload. */
export const FRAME_HEADER_BYTES = 9;
export const MAX_WINDOW_BYTES = 0x7fffffff;
export const MAX_STREAM_ID = 0x7fffffff;
/** Both windows of a connection start here, RFC 9113 section 6.9.2. */
export const DEFAULT_WINDOW_BYTES = 65_535;
/** Every endpoint takes frames of this size, RFC 9113 section 4.2. */
export const MIN_MAX_FRAME_BYTES = 16_384;
export const MAX_MAX_FRAME_BYTES = 16_777_215;

function namesOf(table: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(table).map(([name, value]) => [value, name]));
}

const FRAME_NAMES = namesOf(FrameType);
const ERROR_NAMES = namesOf(ErrorCode);
const SETTING_NAMES = namesOf(SettingId);

/** 'DATA' for 0; 'type 0x2a' for a type that the RFC does not define. */
export function frameName(type: number): string {
  return FRAME_NAMES.get(type) ?? `type 0x${type.toString(16)}`;
}

/** 'CANCEL' for 8; 'error 0x2a' for a code that the RFC does not define. */
export function errorName(code: number): string {
  return ERROR_NAMES.get(code) ?? `error 0x${code.toString(16)}`;
}

/** 'MAX_FRAME_SIZE' for 5; 'setting 0x2a' for one that the RFC does not define. */
export function settingName(id: number): string {
  return SETTING_NAMES.get(id) ?? `setting 0x${id.toString(16)}`;
}
