// A TCP proxy that does to a connection what bad networks do: bytes of one direction vanish, chunks
// are held for some time as if they were sent again and again, connections are reset. As in TCP,
// nothing is lost of a connection that lives, and nothing overtakes: what vanished arrives when the
// network is well again, unless the connection was given up by then.
import { connect, createServer, type Socket } from 'node:net';

const HOST = '127.0.0.1';
/** Read ahead of what is held, in each direction; then the sender waits, as for a full window. */
const MAX_HELD_BYTES = 16 * 2 ** 20;
const RESET_LOOK_MS = 100;

/** 'up': from who connects to the target; 'down': back. */
export type Direction = 'up' | 'down';

export interface Faults {
  /** Nothing comes through in these directions, no end of a connection either. */
  readonly silent: readonly Direction[];
  /** How long a chunk is held, in either direction. */
  readonly holdMs: () => number;
  /** Share of the open connections that is reset each second, 0 to 1. */
  readonly resetsPerSecond: number;
}

export const NO_FAULTS: Faults = { silent: [], holdMs: () => 0, resetsPerSecond: 0 };

export interface FaultProxy {
  readonly port: number;
  /** Connections that it has reset. */
  readonly resets: number;
  /** From now on; what is held or vanished so far comes through as these allow. */
  set(faults: Partial<Faults>): void;
  end(): Promise<void>;
}

export interface FaultProxyOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** In [0, 1). */
  readonly random?: () => number;
}

export async function faultProxy(
  targetPort: number,
  { port = 0, random = Math.random }: FaultProxyOptions = {},
): Promise<FaultProxy> {
  let faults = NO_FAULTS;
  let resets = 0;
  const pairs = new Set<Pair>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const pair: Pair = new Pair(near, connect({ port: targetPort, host: HOST }), () => faults);
    pairs.add(pair);
    near.once('close', () => {
      if (near.destroyed && pair.isOver) pairs.delete(pair);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  const share = (): number => (faults.resetsPerSecond * RESET_LOOK_MS) / 1_000;
  const resetting = setInterval(() => {
    for (const pair of pairs) {
      if (pair.isOver) pairs.delete(pair);
      else if (random() < share()) {
        resets += 1;
        pair.reset();
        pairs.delete(pair);
      }
    }
  }, RESET_LOOK_MS);
  resetting.unref();
  return {
    port: address.port,
    get resets() {
      return resets;
    },
    set(changes) {
      faults = { ...NO_FAULTS, ...changes };
      for (const pair of pairs) pair.move();
    },
    async end() {
      clearInterval(resetting);
      for (const pair of pairs) pair.reset();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A connection through the proxy: two sockets, and a way in each direction. */
class Pair {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #ways: readonly [Way, Way];

  constructor(near: Socket, far: Socket, faults: () => Faults) {
    [this.#near, this.#far] = [near, far];
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
    }
    this.#ways = [new Way(near, far, 'up', faults), new Way(far, near, 'down', faults)];
  }

  get isOver(): boolean {
    return this.#near.destroyed && this.#far.destroyed;
  }

  move(): void {
    for (const way of this.#ways) way.move();
  }

  reset(): void {
    for (const socket of [this.#near, this.#far]) socket.resetAndDestroy();
    for (const way of this.#ways) way.stop();
  }
}

interface Held {
  /** undefined: the sender has ended, 'gone' when it was cut off. */
  readonly chunk: Buffer | 'end' | 'gone';
  readonly dueMs: number;
}

class Way {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #direction: Direction;
  readonly #faults: () => Faults;
  readonly #held: Held[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, direction: Direction, faults: () => Faults) {
    this.#from = from;
    this.#to = to;
    this.#direction = direction;
    this.#faults = faults;
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    from.once('end', () => this.#take('end'));
    from.once('close', (hadError) => this.#take(hadError ? 'gone' : 'end'));
    to.on('drain', () => this.move());
  }

  /** Passes on what is due. */
  move(): void {
    clearTimeout(this.#timer);
    if (this.#faults().silent.includes(this.#direction)) return;
    for (;;) {
      const [first] = this.#held;
      if (first === undefined) break;
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.move(), waitMs);
        break;
      }
      if (this.#to.writableNeedDrain) break;
      this.#held.shift();
      this.#pass(first.chunk);
    }
    if (this.#heldBytes < MAX_HELD_BYTES) this.#from.resume();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#held.length = 0;
  }

  #take(chunk: Held['chunk']): void {
    const afterMs = this.#held.at(-1)?.dueMs ?? 0;
    const dueMs = Math.max(afterMs, performance.now() + this.#faults().holdMs());
    this.#held.push({ chunk, dueMs });
    if (chunk !== 'end' && chunk !== 'gone') {
      this.#heldBytes += chunk.length;
      if (this.#heldBytes >= MAX_HELD_BYTES) this.#from.pause();
    }
    this.move();
  }

  #pass(chunk: Held['chunk']): void {
    if (chunk === 'gone') this.#to.resetAndDestroy();
    else if (chunk === 'end') this.#to.end();
    else {
      this.#heldBytes -= chunk.length;
      this.#to.write(chunk);
    }
  }
}

/**
 * A network that loses a share of what is sent, and whose senders wait twice as long each time
 * before they send again: held for `firstMs` x 2^k with probability share^k, 1 <= k <= `most`.
 */
export function losses(
  firstMs: number,
  share: number,
  random: () => number,
  most = Number.POSITIVE_INFINITY,
): () => number {
  return () => {
    let times = 0;
    while (times < most && random() < share) times += 1;
    return times === 0 ? 0 : firstMs * 2 ** times;
  };
}
