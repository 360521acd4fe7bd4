// Where a listener may be bound, for every kind of listener: plain text stays on loopback unless
// somebody says that it may leave, and a port that is taken is told by its number and flag.
import { BlockList, isIP } from 'node:net';
import { Code, failedPrecondition, StatusError } from '../common/status.ts';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** True for localhost, 127.0.0.0/8 and ::1 (also as an IPv4-mapped address). */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  const family = isIP(bare);
  return family !== 0 && LOOPBACK.check(bare, family === 4 ? 'ipv4' : 'ipv6');
}

export interface ListenPolicy {
  readonly host: string;
  readonly hasTls: boolean;
  /** The operator's --insecure. */
  readonly isInsecureAllowed: boolean;
}

/** @throws FAILED_PRECONDITION for plain text off loopback, telling the ways out. */
export function checkListen(policy: ListenPolicy): void {
  if (policy.hasTls || policy.isInsecureAllowed || isLoopback(policy.host)) return;
  throw failedPrecondition(
    `refusing to listen on ${policy.host} in plain text: give --tls-cert and --tls-key, listen ` +
      'on 127.0.0.1, or pass --insecure if this network is trusted',
  );
}

/** 'host:port', with brackets around an IPv6 address. */
export function formatAddress(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * What a failed bind means to a person.
 * @param flag the command-line flag that sets this port, '--grpc-port'; undefined when there is
 * none
 */
export function listenError(host: string, port: number, flag: string | undefined, cause: unknown) {
  const text = cause instanceof Error ? cause.message : String(cause);
  const other = flag === undefined ? 'choose another port' : `choose another with ${flag}`;
  const address = formatAddress(host, port);
  if (text.includes('EADDRINUSE')) {
    return new StatusError(
      Code.ALREADY_EXISTS,
      `port ${port} on ${host} is in use by another process: ${other} (0 takes a free one)`,
      { cause },
    );
  }
  if (text.includes('EACCES')) {
    return new StatusError(
      Code.PERMISSION_DENIED,
      `not allowed to listen on ${address} (ports below 1024 need a privilege): ${other}`,
      { cause },
    );
  }
  return new StatusError(Code.FAILED_PRECONDITION, `cannot listen on ${address}: ${text}`, {
    cause,
  });
}
