// What RFC 9113 section 6 asks of a frame whatever the state of its stream: its length, whether
// it belongs to a stream, its padding. A frame of the wrong shape is refused before it is acted on.
import { ErrorCode, Flag, FrameType } from './constants.ts';

/** How a frame's shape is wrong: an error of the connection, or of the frame's stream alone. */
export interface ShapeError {
  readonly code: number;
  readonly ofStream: boolean;
  readonly message: string;
}

function connectionError(code: number, message: string): ShapeError {
  return { code, ofStream: false, message };
}

const { PROTOCOL_ERROR, FRAME_SIZE_ERROR } = ErrorCode;
const NEEDS_STREAM = connectionError(PROTOCOL_ERROR, 'the frame needs a stream id, 0 was given');
const NO_STREAM = connectionError(PROTOCOL_ERROR, 'the frame belongs to stream 0 only');
export const PADDING_ERROR: ShapeError = connectionError(
  PROTOCOL_ERROR,
  'padding is longer than the frame',
);
const SIZES = {
  rst: connectionError(FRAME_SIZE_ERROR, 'RST_STREAM has 4 bytes'),
  ping: connectionError(FRAME_SIZE_ERROR, 'PING has 8 bytes'),
  window: connectionError(FRAME_SIZE_ERROR, 'WINDOW_UPDATE has 4 bytes'),
  goaway: connectionError(FRAME_SIZE_ERROR, 'GOAWAY has 8 bytes at least'),
  settings: connectionError(FRAME_SIZE_ERROR, 'SETTINGS has a multiple of 6 bytes'),
  settingsAck: connectionError(FRAME_SIZE_ERROR, 'an acknowledgement of SETTINGS is empty'),
  headers: connectionError(FRAME_SIZE_ERROR, 'HEADERS is shorter than what its flags announce'),
  data: connectionError(FRAME_SIZE_ERROR, 'DATA is shorter than what its flags announce'),
};
const PRIORITY_SIZE: ShapeError = {
  code: FRAME_SIZE_ERROR,
  ofStream: true,
  message: 'PRIORITY has 5 bytes',
};

/** undefined when a header may stand; the frame's payload has not been looked at. */
export function checkFrameHeader(
  type: number,
  flags: number,
  streamId: number,
  length: number,
): ShapeError | undefined {
  switch (type) {
    case FrameType.DATA:
      if (streamId === 0) return NEEDS_STREAM;
      return (flags & Flag.PADDED) !== 0 && length === 0 ? SIZES.data : undefined;
    case FrameType.HEADERS:
      if (streamId === 0) return NEEDS_STREAM;
      return length < headersPrefixBytes(flags) ? SIZES.headers : undefined;
    case FrameType.PRIORITY:
      if (streamId === 0) return NEEDS_STREAM;
      return length === 5 ? undefined : PRIORITY_SIZE;
    case FrameType.RST_STREAM:
      if (streamId === 0) return NEEDS_STREAM;
      return length === 4 ? undefined : SIZES.rst;
    case FrameType.CONTINUATION:
    case FrameType.PUSH_PROMISE:
      return streamId === 0 ? NEEDS_STREAM : undefined;
    case FrameType.WINDOW_UPDATE:
      return length === 4 ? undefined : SIZES.window;
    case FrameType.SETTINGS:
    case FrameType.PING:
    case FrameType.GOAWAY:
      return streamId === 0 ? checkConnectionFrame(type, flags, length) : NO_STREAM;
    default:
      return undefined;
  }
}

function checkConnectionFrame(type: number, flags: number, length: number): ShapeError | undefined {
  if (type === FrameType.PING) return length === 8 ? undefined : SIZES.ping;
  if (type === FrameType.GOAWAY) return length >= 8 ? undefined : SIZES.goaway;
  if ((flags & Flag.ACK) !== 0) return length === 0 ? undefined : SIZES.settingsAck;
  return length % 6 === 0 ? undefined : SIZES.settings;
}

/** Bytes of pad length and priority in front of the header block of a HEADERS frame. */
export function headersPrefixBytes(flags: number): number {
  return ((flags & Flag.PADDED) !== 0 ? 1 : 0) + ((flags & Flag.PRIORITY) !== 0 ? 5 : 0);
}

/**
 * Bytes of padding behind the content of a DATA or HEADERS frame (the pad length's own byte not
 * counted), or -1 when they don't fit: RFC 9113 sections 6.1 and 6.2. `prefixBytes` is what stands
 * in front of the content, the pad length included.
 */
export function paddingBytes(
  flags: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  prefixBytes: number,
): number {
  if ((flags & Flag.PADDED) === 0) return 0;
  const padding = bytes[start] ?? 0;
  return padding > end - start - prefixBytes ? -1 : padding;
}

/** The stream that a PRIORITY payload at `at` depends on. */
export function priorityParent(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) & 0x7fffffff;
}

/** Unsigned, big endian; bytes past the end read as 0. */
export function readUint32(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16);
  return (high | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;
}
