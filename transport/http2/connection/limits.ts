// Every limit of a connection: its default and what happens to a peer that crosses it. Each
// crossing is told to the handler by the limit's name, so that it can be counted.

export interface ConnectionLimits {
  /** Open streams of the peer; one more is answered REFUSED_STREAM, which is safe to try again. */
  readonly concurrentStreams: number;
  /** Streams that this side has open, whatever the peer allows; open() gives no more. */
  readonly openedStreams: number;
  /**
   * Fields with 32 bytes each on top; a larger list ends its stream with ENHANCE_YOUR_CALM, or is
   * answered by a handler that has onRefused().
   */
  readonly headerListBytes: number;
  /** A header block as it stands on the wire; a larger one ends the connection. */
  readonly headerBlockBytes: number;
  /** CONTINUATION frames of a block; one more ends the connection. */
  readonly continuationFrames: number;
  /**
   * Streams that the peer resets soon after it opened them, or makes us reset, in a burst. Each
   * call that ends well gives one back, and so does a tenth of a second. One more ends the
   * connection. Resets of streams that are over count apart, to the same number: each stream that
   * was opened gives one back, so that who resets no stream twice never gets there.
   */
  readonly resets: number;
  /**
   * A stream that was open for so long has cost its peer a place among its streams for that time:
   * its reset is free. The owner may set an earlier moment (Stream.freeResetMs).
   */
  readonly prematureResetMs: number;
  /** PING frames a second, and twice that in a burst; one more ends the connection. */
  readonly pingsPerSecond: number;
  /** SETTINGS frames a second; one more ends the connection. */
  readonly settingsPerSecond: number;
  /** DATA frames of less than 5 bytes without END_STREAM a second; one more ends the connection. */
  readonly tinyDataPerSecond: number;
  /** WINDOW_UPDATE frames a second, besides four per DATA frame that we sent. */
  readonly windowUpdatesPerSecond: number;
  /** PRIORITY frames and frames of unknown types a second; one more ends the connection. */
  readonly ignoredFramesPerSecond: number;
  /** Written and not taken by the peer, data not counted; more ends the connection. */
  readonly unsentControlBytes: number;
  /** From the start to the peer's SETTINGS; and for its acknowledgement of ours. */
  readonly handshakeMs: number;
  /** From a frame's or header block's first byte to its last; longer ends the connection. */
  readonly partialFrameMs: number;
  /** Without a stream; then the connection is drained and done. Infinity: never. */
  readonly idleMs: number;
  /** Nothing was heard of the peer for so long: a ping asks whether it is there. */
  readonly keepaliveMs: number;
  /** From that ping to any sign of life; then the connection has failed. */
  readonly keepaliveTimeoutMs: number;
  /** Also asks while no stream is open. */
  readonly isKeptAliveIdle: boolean;
  /** Data waits for the peer's window and none moves; then the stream is reset. */
  readonly stalledMs: number;
}

export const DEFAULT_LIMITS: ConnectionLimits = {
  concurrentStreams: 1_000,
  openedStreams: Number.POSITIVE_INFINITY,
  headerListBytes: 16_384,
  headerBlockBytes: 65_536,
  continuationFrames: 16,
  resets: 1_000,
  prematureResetMs: 100,
  pingsPerSecond: 1_000,
  settingsPerSecond: 50,
  tinyDataPerSecond: 1_000,
  windowUpdatesPerSecond: 20_000,
  ignoredFramesPerSecond: 2_000,
  unsentControlBytes: 1_048_576,
  handshakeMs: 10_000,
  partialFrameMs: 20_000,
  idleMs: 1_800_000,
  keepaliveMs: 120_000,
  keepaliveTimeoutMs: 20_000,
  isKeptAliveIdle: true,
  stalledMs: 60_000,
};

export type LimitName =
  | 'concurrent_streams'
  | 'header_list_bytes'
  | 'header_block_bytes'
  | 'continuation_frames'
  | 'resets'
  | 'pings'
  | 'settings'
  | 'tiny_data'
  | 'window_updates'
  | 'ignored_frames'
  | 'unsent_control_bytes'
  | 'handshake_time'
  | 'partial_frame_time'
  | 'idle_time'
  | 'keepalive_time'
  | 'stalled_time'
  /** The peer sent more than its window, or one above 2^31-1: no setting of ours, but counted. */
  | 'flow_control';
