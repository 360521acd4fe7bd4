// Header names that are not the application's: each hop writes its own, so they never go into
// metadata nor come out of it. Other grpc- names pass: the next hop may know what they mean.

/** What a receiver does with a header of that name. */
export type WireName =
  | 'accept-encoding'
  | 'authority'
  | 'content-type'
  | 'encoding'
  | 'ignored'
  | 'message'
  | 'method'
  | 'path'
  | 'status'
  | 'timeout';

/** gRPC over HTTP/2, "Requests" and "Responses"; RFC 9113, 8.2.2 and 8.3. */
export const WIRE_NAMES: ReadonlyMap<string, WireName> = new Map([
  [':authority', 'authority'],
  [':method', 'method'],
  [':path', 'path'],
  [':scheme', 'ignored'],
  [':status', 'ignored'],
  ['accept-encoding', 'ignored'],
  ['connection', 'ignored'],
  ['content-length', 'ignored'],
  ['content-type', 'content-type'],
  ['date', 'ignored'],
  ['grpc-accept-encoding', 'accept-encoding'],
  ['grpc-encoding', 'encoding'],
  ['grpc-message', 'message'],
  ['grpc-status', 'status'],
  ['grpc-timeout', 'timeout'],
  ['host', 'ignored'],
  ['keep-alive', 'ignored'],
  ['proxy-connection', 'ignored'],
  ['te', 'ignored'],
  ['trailer', 'ignored'],
  ['transfer-encoding', 'ignored'],
  ['upgrade', 'ignored'],
  ['user-agent', 'ignored'],
]);
