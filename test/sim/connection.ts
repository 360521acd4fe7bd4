// A router's connection to a node, as ours over HTTP/2 behaves: dialed by the first call, lost when
// the node's process ends, when it is reset, or when nothing comes for as long as NODE_KEEPALIVE
// allows; then each call on it fails, and says whether a handler may have seen it.
import { Code, StatusError } from '../../common/status.ts';
import { NODE_METHODS } from '../../router/router.ts';
import { NODE_KEEPALIVE, type NodeConnection } from '../../router/upstreams.ts';
import { ConnectionLost, type UnaryCall } from '../../transport/backend.ts';
import { ListenerCall, type Outcome } from './listener-call.ts';
import type { Life, Machine } from './machine.ts';
import type { Network } from './network.ts';

/** As CONNECT_TIMEOUT_MS of transport/client. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Who listens at an address. */
export interface Listening {
  readonly machine: Machine;
  /** Undefined while nobody listens. */
  readonly serving: { readonly life: Life; take(call: UnaryCall): void } | undefined;
  /** The node answered a call twice. */
  answeredTwice(): void;
}

interface Pending {
  readonly call: UnaryCall;
  isSent: boolean;
  /** At the node, once it is there. */
  there: ListenerCall | undefined;
}

export class Connection implements NodeConnection {
  readonly methods = NODE_METHODS;
  readonly #life: Life;
  readonly #network: Network;
  readonly #node: Listening;
  readonly #pending = new Set<Pending>();
  /** Another one each time it is made; undefined: there is none. */
  #link: { readonly serving: NonNullable<Listening['serving']>; unhook: () => void } | undefined;
  #isDialing = false;
  #isDraining = false;
  #attempt = 0;
  #heardMs = 0;
  #cancelWatch: (() => void) | undefined;

  constructor(life: Life, network: Network, node: Listening) {
    this.#life = life;
    this.#network = network;
    this.#node = node;
    life.onEnd(() => this.#hangUp());
  }

  unary(call: UnaryCall): void {
    const pending: Pending = { call, isSent: false, there: undefined };
    this.#pending.add(pending);
    call.onCancel = () => this.#cancel(pending);
    if (this.#link !== undefined) this.#send(pending);
    else this.#dial();
  }

  stream(call: Parameters<NodeConnection['stream']>[0]): void {
    call.fail(new StatusError(Code.UNIMPLEMENTED, 'only single calls are simulated'));
  }

  async drain(): Promise<void> {
    this.#isDraining = true;
    this.#endWhenIdle();
  }

  close(): void {
    this.#hangUp();
    this.#fail('closed');
  }

  #endWhenIdle(): void {
    if (this.#isDraining && this.#pending.size === 0) this.#hangUp();
  }

  /** The connection breaks, for both sides. */
  reset(): void {
    if (this.#link === undefined) return;
    this.#network.disturb(this.#here, this.#there);
    this.#life.arrive(() => this.#lose('reset'));
  }

  get isOpen(): boolean {
    return this.#link !== undefined;
  }

  get #here(): string {
    return this.#life.machine.name;
  }

  get #there(): string {
    return this.#node.machine.name;
  }

  #dial(): void {
    if (this.#isDialing) return;
    this.#isDialing = true;
    this.#attempt += 1;
    const attempt = this.#attempt;
    const isCurrent = (): boolean => this.#isDialing && this.#attempt === attempt;
    const cancel = this.#life.after(CONNECT_TIMEOUT_MS, () => {
      if (isCurrent()) this.#lose('no connection in time');
    });
    const answer = (isThere: boolean): void => {
      const { serving } = this.#node;
      this.#network.send(this.#there, this.#here, () => {
        this.#life.arrive(() => {
          cancel();
          if (!isCurrent()) return;
          if (isThere && serving?.life.isAlive === true) this.#connected(serving);
          else this.#lose('connection refused');
        });
      });
    };
    this.#network.send(this.#here, this.#there, () => {
      const { machine, serving } = this.#node;
      // The system of a paused process takes connections for it; a machine that is down is silent.
      if (machine.life !== undefined || !machine.isDownSilently) {
        answer(serving?.life.isAlive === true);
      }
    });
  }

  #connected(serving: NonNullable<Listening['serving']>): void {
    this.#isDialing = false;
    const unhook = serving.life.onEnd(() => this.#peerEnded());
    this.#link = { serving, unhook };
    this.#heardMs = this.#life.nowMs();
    for (const pending of [...this.#pending]) this.#send(pending);
  }

  /** The system of a process that ended resets its connections; a machine that stops does not. */
  #peerEnded(): void {
    if (this.#node.machine.isDownSilently) return;
    const link = this.#link;
    this.#network.send(this.#there, this.#here, () => {
      this.#life.arrive(() => {
        if (this.#link === link) this.#lose('reset by peer');
      });
    });
  }

  #send(pending: Pending): void {
    const link = this.#link;
    if (link === undefined) return;
    const { call } = pending;
    const { serving } = link;
    const isLost = (): boolean => this.#link !== link;
    const lost = (): void => {
      this.#life.arrive(() => {
        if (!isLost()) this.#lose('broken');
      });
    };
    const back = (outcome: Outcome): void => {
      const come = (): void => this.#life.arrive(() => this.#answered(pending, outcome));
      this.#network.send(this.#there, this.#here, come, lost);
    };
    const leftMs = call.deadlineMs - this.#life.nowMs();
    pending.isSent = true;
    this.#watch();
    const come = (): void => {
      if (isLost()) return;
      serving.life.arrive(() => {
        if (isLost()) return;
        pending.there = new ListenerCall({
          ...{ life: serving.life, request: call.request, leftMs, onAnswer: back },
          onSecond: () => this.#node.answeredTwice(),
        });
        serving.take(pending.there);
      });
    };
    this.#network.send(this.#here, this.#there, come, lost);
  }

  #answered(pending: Pending, outcome: Outcome): void {
    this.#heardMs = this.#life.nowMs();
    if (!this.#pending.delete(pending)) return;
    this.#endWhenIdle();
    if (outcome.ok) pending.call.succeed(outcome.bytes);
    else pending.call.fail(outcome.error);
  }

  #cancel(pending: Pending): void {
    if (!this.#pending.delete(pending) || !pending.isSent) return;
    this.#tellGone([pending]);
    this.#endWhenIdle();
  }

  #tellGone(gone: readonly Pending[]): void {
    const life = this.#link?.serving.life;
    if (life === undefined || gone.length === 0) return;
    this.#network.send(this.#here, this.#there, () => {
      life.arrive(() => {
        for (const { there } of gone) there?.cancel();
      });
    });
  }

  /** While calls are open: a ping when nothing came for a while; the end when no answer does. */
  #watch(): void {
    if (this.#cancelWatch !== undefined) return;
    const link = this.#link;
    const { timeMs, timeoutMs } = NODE_KEEPALIVE;
    this.#heardMs = this.#life.nowMs();
    const look = (): void => {
      this.#cancelWatch = undefined;
      if (this.#link !== link || this.#pending.size === 0) return;
      const silentMs = this.#life.nowMs() - this.#heardMs;
      if (silentMs < timeMs) {
        this.#cancelWatch = this.#life.after(timeMs - silentMs, look);
        return;
      }
      const askedMs = this.#life.nowMs();
      this.#ping();
      this.#cancelWatch = this.#life.after(timeoutMs, () => {
        this.#cancelWatch = undefined;
        if (this.#link !== link) return;
        if (this.#heardMs < askedMs) this.#lose('silent');
        else if (this.#pending.size > 0) look();
      });
    };
    this.#cancelWatch = this.#life.after(timeMs, look);
  }

  #ping(): void {
    const link = this.#link;
    if (link === undefined) return;
    this.#network.send(this.#here, this.#there, () => {
      link.serving.life.arrive(() => {
        this.#network.send(this.#there, this.#here, () => {
          this.#life.arrive(() => {
            if (this.#link === link) this.#heardMs = this.#life.nowMs();
          });
        });
      });
    });
  }

  #hangUp(): void {
    this.#tellGone([...this.#pending].filter(({ isSent }) => isSent));
    this.#link?.unhook();
    this.#link = undefined;
    this.#isDialing = false;
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
  }

  #lose(why: string): void {
    this.#hangUp();
    this.#fail(why);
  }

  #fail(why: string): void {
    const lost = [...this.#pending];
    this.#pending.clear();
    for (const { call, isSent } of lost) {
      call.fail(new ConnectionLost(`${this.#there}: ${why}`, isSent));
    }
  }
}
