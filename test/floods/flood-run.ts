// An attack beside an honest client: on a sink, for what the attacker itself costs the machine,
// and on the server. Every part is a process of its own.
import type { AttackerQuestions, AttackReport } from './attacker-child.ts';
import { type Child, startChild } from './child-process.ts';
import type { HonestQuestions, HonestReport } from './honest-child.ts';
import type { ServerQuestions, ServerState } from './server-child.ts';
import type { SinkQuestions } from './sink-child.ts';

const CAPACITY_MS = 2_000;
const WARM_UP_MS = 300;
/** Calls a second that nobody makes; Infinity does not go through JSON. */
const ANY_RATE = 1e9;
/** What an attack left behind has to be gone by then. */
const SETTLE_MS = 10_000;
const LOOK_MS = 50;

export interface Phase {
  readonly honest: HonestReport;
  readonly attack: AttackReport;
}

export interface ServerPhase extends Phase {
  readonly peakRssBytes: number;
  readonly crossed: Readonly<Record<string, number>>;
  /** What is left once the attacker has gone; the honest client's connection excepted. */
  readonly left: string | undefined;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class FloodField {
  readonly #server: Child<ServerQuestions>;
  readonly #sink: Child<SinkQuestions>;
  readonly #attacker: Child<AttackerQuestions>;
  readonly #honest: Child<HonestQuestions>;
  #serverPort = 0;
  #sinkPort = 0;

  constructor() {
    this.#server = startChild(new URL('./server-child.ts', import.meta.url));
    this.#sink = startChild(new URL('./sink-child.ts', import.meta.url));
    this.#attacker = startChild(new URL('./attacker-child.ts', import.meta.url));
    this.#honest = startChild(new URL('./honest-child.ts', import.meta.url));
  }

  /**
   * Calls a second that the honest client could make; from now on it makes a fifth, or `most` if
   * that is less.
   */
  async begin(most = ANY_RATE): Promise<number> {
    this.#serverPort = await this.#server.ask('port');
    this.#sinkPort = await this.#sink.ask('port');
    await this.#honest.ask('connect', { address: `127.0.0.1:${this.#serverPort}` });
    const isShort = most < ANY_RATE;
    const durationMs = isShort ? WARM_UP_MS : CAPACITY_MS;
    await this.#honest.ask('capacity', { durationMs: WARM_UP_MS, most });
    return this.#honest.ask('capacity', { durationMs, most });
  }

  async onSink(name: string, durationMs: number): Promise<Phase> {
    return this.#beside(name, this.#sinkPort, durationMs);
  }

  /** @param patienceMs how much longer it may go on while nobody was cut off yet */
  async onServer(name: string, durationMs: number, patienceMs = 0): Promise<ServerPhase> {
    await this.#server.ask('state');
    const phase = await this.#beside(name, this.#serverPort, durationMs, patienceMs);
    const { peakRssBytes, crossed } = await this.#server.ask('state');
    return { ...phase, peakRssBytes, crossed, left: await this.#leftBehind() };
  }

  async #beside(name: string, port: number, durationMs: number, patienceMs = 0): Promise<Phase> {
    await this.#honest.ask('start');
    if (!(await this.#attacker.ask('start', { name, port }))) throw new Error(`no attack ${name}`);
    await sleep(durationMs);
    for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += LOOK_MS) {
      if ((await this.#attacker.ask('cutOff')) > 0) break;
      await sleep(LOOK_MS);
    }
    const attack = await this.#attacker.ask('stop');
    const honest = await this.#honest.ask('stop');
    if (attack === undefined) throw new Error('the attacker had not started');
    return { honest, attack };
  }

  async #leftBehind(): Promise<string | undefined> {
    let state: ServerState | undefined;
    for (let waitedMs = 0; waitedMs < SETTLE_MS; waitedMs += LOOK_MS) {
      state = await this.#server.ask('state');
      if (state.connections <= 1 && state.calls === 0 && state.heldBytes === 0) return undefined;
      await sleep(LOOK_MS);
    }
    return JSON.stringify(state);
  }

  async end(): Promise<void> {
    const all = [this.#server, this.#sink, this.#attacker, this.#honest];
    await Promise.all(all.map((child) => child.end()));
  }
}
