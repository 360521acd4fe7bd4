// The settings that both sides of a grpc-js connection share.
import { type ChannelOptions, logVerbosity, setLogVerbosity } from '@grpc/grpc-js';

/** A quiet connection with open calls is pinged this often. */
export const KEEPALIVE_TIME_MS = 10_000;
/** No answer to a ping in this time: the connection is closed, its calls fail with UNAVAILABLE. */
export const KEEPALIVE_TIMEOUT_MS = 5_000;
/** Open calls of one connection; further ones wait at the client until one ends. */
export const MAX_CONCURRENT_STREAMS = 10_000;
/** Receive window of a client's connection and streams: what may be on the way unread. */
export const CLIENT_WINDOW_BYTES = 1024 * 1024;
/** A stream with more than this unsent tells its writer to wait. */
export const STREAM_BUFFER_BYTES = 256 * 1024;

// grpc-js writes to the console by itself, metadata with its values too: those may be secrets, and
// what matters comes back as a status.
setLogVerbosity(logVerbosity.NONE);

export function commonOptions(maxMessageBytes: number): ChannelOptions {
  return {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.enable_channelz': 0,
  };
}
