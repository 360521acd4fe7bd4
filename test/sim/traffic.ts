// Callers of the cluster: each call goes to one router, asks for a model, and is held against the
// truth when it ends: one answer, in time, of the right version's content.
import { Code, type StatusError } from '../../common/status.ts';
import { SAVE_AFTER_MS, SAVE_PAUSE_MS } from '../../router/route-file.ts';
import { readAnswer, requestBytes } from './artifacts.ts';
import type { Cluster } from './cluster.ts';
import type { Outcome } from './listener-call.ts';
import type { Random } from './random.ts';
import type { SimulatedRouter } from './simulated-router.ts';
import type { TrueModel, World } from './world.ts';

const CLIENT = 'client';
/** An answer may be under way when the deadline passes. */
const EPSILON_MS = 250;
/** Time enough for a call when nothing is in its way. */
const AMPLE_MS = 500;
/** So long after a copy was loaded each router knows it. */
const KNOWN_AFTER_MS = 3_000;
const LOOK_MS = 1_000;

interface Open {
  readonly number: number;
  readonly router: SimulatedRouter;
  readonly model: TrueModel;
  /** 0: whichever serves. */
  readonly version: number;
  readonly sentMs: number;
  readonly deadlineMs: number;
  /** A life of the router that took it. */
  readonly life: unknown;
  readonly onEnd: ((outcome: Outcome | undefined) => void) | undefined;
}

export interface Asked {
  readonly router: SimulatedRouter;
  readonly model: TrueModel;
  readonly version: number;
  readonly timeoutMs: number;
  readonly onEnd?: (outcome: Outcome | undefined) => void;
}

export interface Tally {
  ok: number;
  failed: number;
  /** The router went while it had the call. */
  cut: number;
}

export class Traffic {
  readonly tally: Tally = { ok: 0, failed: 0, cut: 0 };
  readonly #world: World;
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #open = new Map<number, Open>();
  #numbers = 0;
  #endMs = 0;

  constructor(cluster: Cluster, random: Random) {
    this.#world = cluster.world;
    this.#cluster = cluster;
    this.#random = random;
  }

  /** Calls come at random, so many a second, up to a moment. */
  run(perSecond: number, endMs: number): void {
    this.#endMs = endMs;
    const { schedule } = this.#world;
    const next = (): void => {
      const delayMs = (-Math.log(1 - this.#random.next()) * 1_000) / perSecond;
      if (schedule.nowMs() + delayMs > this.#endMs) return;
      schedule.after(delayMs, () => {
        this.#askSomething();
        next();
      });
    };
    next();
    const look = (): void => {
      this.#lookForLate();
      schedule.after(LOOK_MS, look);
    };
    schedule.after(LOOK_MS, look);
  }

  ask({ router, model, version, timeoutMs, onEnd }: Asked): void {
    const { running } = router;
    this.#numbers += 1;
    const number = this.#numbers;
    if (running === undefined) {
      onEnd?.(undefined);
      return;
    }
    const { network, schedule, trace } = this.#world;
    const { name } = router.machine;
    const sentMs = schedule.nowMs();
    const { life } = running;
    const open: Open = {
      ...{ number, router, model, version, sentMs, life, onEnd },
      deadlineMs: sentMs + timeoutMs,
    };
    this.#open.set(number, open);
    trace.note(CLIENT, 'asks', `${number} ${model.name}/${version} at ${name}`);
    life.onEnd(() => this.#end(open, undefined));
    const onAnswer = (outcome: Outcome): void => {
      network.send(name, CLIENT, () => this.#end(open, outcome));
    };
    const request = requestBytes(model.name, version, number);
    network.send(CLIENT, name, () => {
      life.arrive(() => running.take({ number, request, leftMs: timeoutMs, onAnswer }));
    });
  }

  get openCalls(): number {
    return this.#open.size;
  }

  #askSomething(): void {
    const random = this.#random;
    const models = [...this.#world.models.values()].filter(({ contents }) => contents.size > 0);
    if (models.length === 0) return;
    const model = random.pick(models);
    const router = random.pick(this.#cluster.routers);
    const version = random.chance(0.2) ? random.pick([...model.contents.keys()]) : 0;
    const timeoutMs = random.chance(0.3) ? random.between(50, 500) : random.between(500, 5_000);
    this.ask({ router, model, version, timeoutMs });
  }

  #end(open: Open, outcome: Outcome | undefined): void {
    const { trace, checks } = this.#world;
    const isOpen = this.#open.delete(open.number);
    if (outcome === undefined) {
      if (!isOpen) return;
      this.tally.cut += 1;
      trace.note(CLIENT, 'cut off', String(open.number));
    } else if (!isOpen) {
      checks.breach('answered_once', `call ${open.number} is answered again`);
      return;
    } else if (outcome.ok) {
      this.tally.ok += 1;
      this.#check(open, outcome.bytes);
    } else {
      this.tally.failed += 1;
      const text = `${open.number} ${outcome.error.code} ${outcome.error.message}`;
      trace.note(CLIENT, 'error', text);
      this.#checkError(open, outcome.error);
    }
    open.onEnd?.(outcome);
  }

  #check({ number, model, version }: Open, bytes: Uint8Array): void {
    const { trace, checks } = this.#world;
    const told = readAnswer(bytes);
    trace.note(CLIENT, 'answer', `${number} ${told.model}/${told.version}`);
    const asked = `call ${number} of ${model.name}/${version}`;
    if (told.number !== number) {
      checks.breach('answered_once', `${asked} got the answer of ${told.number}`);
    }
    const isModel = told.model === model.name;
    const isVersion = version === 0 ? model.served.has(told.version) : told.version === version;
    if (!isModel || !isVersion) {
      checks.breach('known_version', `${asked} got ${told.model}/${told.version}`);
    } else if (told.content !== model.contents.get(told.version)) {
      checks.breach('right_content', `${asked} got content ${told.content} of ${told.version}`);
    }
  }

  #checkError(open: Open, error: StatusError): void {
    const { checks } = this.#world;
    const { number, model, router } = open;
    const text = `call ${number} of ${model.name}: ${error.message}`;
    if (error.code === Code.INTERNAL || error.code === Code.UNKNOWN) {
      checks.breach('no_accident', text);
    } else if (this.#isNeedless(open)) {
      checks.breach('no_needless_error', `${text} (at ${router.machine.name})`);
    }
  }

  /** A copy that its router knew was there all the while, and nothing in the way to it. */
  #isNeedless({ model, version, sentMs, deadlineMs, router }: Open): boolean {
    if (version !== 0 || deadlineMs - sentMs < AMPLE_MS) return false;
    const { wellness, nodeChecks } = this.#cluster;
    const { settledMs } = wellness;
    const startMs = router.running?.startMs ?? Number.POSITIVE_INFINITY;
    // One that began later knows what its file says.
    const delayMs = KNOWN_AFTER_MS + (startMs > settledMs ? SAVE_AFTER_MS + SAVE_PAUSE_MS : 0);
    return (
      wellness.isServingWell(router.machine.name) &&
      nodeChecks.isHeldSince(model.name, Math.min(sentMs, settledMs, startMs) - delayMs)
    );
  }

  /** Calls that should have ended, unless something is wrong with their router or the way to it. */
  #lookForLate(): void {
    const { checks, network, schedule } = this.#world;
    const nowMs = schedule.nowMs();
    for (const open of this.#open.values()) {
      const { machine } = open.router;
      const wayMs = network.wellForMs(CLIENT, machine.name);
      const wellMs = Math.min(machine.illness.wellForMs(), wayMs);
      if (wellMs < nowMs - open.sentMs || nowMs < open.deadlineMs + EPSILON_MS) continue;
      this.#open.delete(open.number);
      checks.breach('answered_in_time', `call ${open.number} of ${open.model.name} never ended`);
    }
  }
}
