// The connection over which the registry's transitions run: to one server, to the master that
// Sentinel names, or to a cluster. Every call ends in bounded time, with what Redis said or a
// StatusError; nothing is queued while there is no connection but the calls that wait that long for
// one; and it comes back by itself. A write that ended without an answer may have been done.
import { Cluster, Redis } from 'ioredis';
import type { Clock } from '../../common/clock.ts';
import { unavailable } from '../../common/status.ts';
import type { RedisAddress } from './address.ts';
import {
  clusterHintOptions,
  clusterNodes,
  clusterOptions,
  MAX_RETRY_MS,
  redisOptions,
} from './client-options.ts';
import { watchFailOver } from './fail-over.ts';
import { redisError } from './redis-errors.ts';
import { type ScriptName, scriptTexts } from './scripts.ts';

/**
 * A call's time, with the waiting for a connection that is about to come back. Shorter than what a
 * leader has left after a renewal.
 */
export const CALL_TIMEOUT_MS = 1_250;
/** Calls under way at a time; more fail at once: their callers ask faster than Redis answers. */
export const MAX_PENDING_CALLS = 10_000;

type Script = (...args: (string | number)[]) => Promise<unknown>;

export class RedisConnection {
  readonly #address: RedisAddress;
  readonly #callTimeoutMs: number;
  readonly #clock: Clock;
  readonly #client: Redis | Cluster;
  readonly #endFailOver: () => void;
  readonly #onSwitch = new Set<() => void>();
  /** Those that wait for a connection. */
  readonly #waiting = new Set<() => void>();
  #pending = 0;
  #lastError: unknown;
  #isClosed = false;

  constructor(address: RedisAddress, clock: Clock, callTimeoutMs = CALL_TIMEOUT_MS) {
    this.#address = address;
    this.#clock = clock;
    this.#callTimeoutMs = callTimeoutMs;
    this.#client =
      address.kind === 'cluster'
        ? new Cluster(clusterNodes(address), clusterOptions(address))
        : new Redis(redisOptions(address));
    for (const [name, text] of Object.entries(scriptTexts())) {
      this.#client.defineCommand(name, text);
    }
    this.#client.on('error', (error: unknown) => {
      this.#lastError = error;
    });
    this.#client.on('node error', (error: unknown) => {
      this.#lastError = error;
    });
    this.#client.on('ready', () => {
      this.#lastError = undefined;
      this.#wake();
    });
    // The client gives up now and then (a sentinel that hangs up while asked): we never do.
    this.#client.on('end', () => {
      if (!this.#isClosed) this.#clock.after(MAX_RETRY_MS, () => this.#connect());
    });
    this.#onSwitch.add(() => this.#client.disconnect(true));
    this.#endFailOver =
      address.kind === 'sentinel'
        ? watchFailOver(address, () => {
            for (const leave of this.#onSwitch) leave();
          })
        : () => {};
    this.#connect();
  }

  /** @throws StatusError in bounded time */
  run(
    script: ScriptName,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const command: unknown = Reflect.get(this.#client, script);
    return this.#call(keys, () => (command as Script).call(this.#client, ...keys, ...args));
  }

  /** @throws StatusError in bounded time */
  async publish(channel: string, message: string): Promise<void> {
    await this.#call([], () => this.#client.publish(channel, message));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** A connection of its own for hints; not yet connected. */
  hintClient(): Redis {
    const address = this.#address;
    if (address.kind !== 'cluster') {
      const client = new Redis(redisOptions(address));
      const leave = (): void => client.disconnect(true);
      this.#onSwitch.add(leave);
      client.on('end', () => this.#onSwitch.delete(leave));
      return client;
    }
    const known = this.#client instanceof Cluster ? this.#client.nodes() : [];
    const nodes = [
      ...known.map(({ options: { host = '', port = 0 } }) => ({ host, port })),
      ...address.endpoints,
    ];
    // Watchers spread over the nodes; one that is gone is not met again for ever.
    const { host, port } = nodes[Math.floor(Math.random() * nodes.length)] ?? address.endpoints[0];
    return new Redis({ ...clusterHintOptions(address), host, port });
  }

  close(): void {
    this.#isClosed = true;
    this.#endFailOver();
    this.#client.disconnect();
    this.#wake();
  }

  #lateness(): unknown {
    return this.#lastError ?? new Error(`no answer within ${this.#callTimeoutMs} ms`);
  }

  #connect(): void {
    if (this.#isClosed) return;
    this.#client.connect().catch((error: unknown) => {
      this.#lastError ??= error;
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  async #call<T>(keys: readonly string[], send: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw unavailable('the registry is closed');
    if (this.#pending >= MAX_PENDING_CALLS) {
      throw unavailable(`the registry at ${this.#address.shown} answers too slowly`);
    }
    this.#pending += 1;
    const late = Promise.withResolvers<never>();
    const ready = Promise.withResolvers<void>();
    const cancel = this.#clock.after(this.#callTimeoutMs, () => {
      // After a stall of this thread the answer may lie in the socket, unread: read first.
      setImmediate(() => setImmediate(() => late.reject(this.#lateness())));
    });
    try {
      if (this.#client.status !== 'ready') {
        this.#waiting.add(ready.resolve);
        await Promise.race([ready.promise, late.promise]);
        if (this.#isClosed) throw unavailable('the registry is closed');
      }
      const answer = await Promise.race([send(), late.promise]);
      this.#lastError = undefined;
      return answer;
    } catch (error) {
      throw redisError(error, this.#address.shown, keys);
    } finally {
      this.#pending -= 1;
      this.#waiting.delete(ready.resolve);
      cancel();
    }
  }
}
