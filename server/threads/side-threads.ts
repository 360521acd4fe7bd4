// The side threads of a node, as its lead thread sees them: inline models are loaded there too,
// and leave there first.
import type { Log } from '../../common/log.ts';
import { statusOf } from '../../common/status.ts';
import type { ModelStatistics } from '../../proto/gen/inference/grpc_service.ts';
import type { PortCaller, PortFunctions } from '../../transport/port-calls.ts';
import type { Way } from '../engines/engine.ts';
import {
  functionName,
  type InlinePlan,
  type ShownVersion,
  type SideFunctions,
} from './side-plan.ts';

/** The lead thread's own copy. */
export interface LeadCopy {
  readonly way: Way;
  /** Moves it to a worker. */
  leaveInline(reason: string): void;
}

export interface SideThreadsOptions {
  /** Of the node. */
  readonly id: string;
  /** One for each thread. */
  readonly threads: readonly PortCaller[];
  readonly log: Log;
}

export class SideThreads {
  readonly #options: SideThreadsOptions;
  readonly #copies = new Map<string, LeadCopy>();
  /** By model and version, as the threads were told. */
  #shown = new Map<string, ShownVersion>();
  /** Announced, and not yet told by the lead's own table. */
  readonly #coming = new Map<string, ShownVersion>();

  constructor(options: SideThreadsOptions) {
    this.#options = options;
  }

  /** To be served to each of the threads. */
  get functions(): PortFunctions {
    const slow = async (key: string, reason: string): Promise<void> =>
      this.#copies.get(key)?.leaveInline(reason);
    return { [functionName(this.#options.id, 'slow')]: slow };
  }

  /**
   * Loads an inline model in each of them, one after the other, so that the memory of each can be
   * told; resolves with all that they take. One that can't hands the calls over.
   */
  async load(plan: InlinePlan, copy: LeadCopy): Promise<number> {
    const { threads, log } = this.#options;
    const { key, engine } = plan;
    const { model, version } = engine;
    this.#copies.set(key, copy);
    let sizeBytes = 0;
    for (const thread of threads) {
      try {
        sizeBytes += (await this.#call(thread, 'load', plan)) as number;
      } catch (thrown) {
        const reason = statusOf(thrown).message;
        log.warn({ model, version, reason }, 'an I/O thread can not run it: the first one will');
      }
    }
    if (copy.way === 'worker') await this.unload(key);
    return sizeBytes;
  }

  /** Resolves when none has it. */
  async unload(key: string): Promise<void> {
    if (!this.#copies.delete(key)) return;
    await this.#tellAll('unload', key);
  }

  /**
   * A version that is about to take calls: resolves when calls find it on all of them, so that no
   * thread is behind the lead's word.
   */
  async announce(version: ShownVersion): Promise<void> {
    const name = nameOf(version);
    this.#shown.set(name, version);
    this.#coming.set(name, version);
    await this.#tellAll('show', [version]);
    if (this.#coming.get(name) === version) this.#coming.delete(name);
  }

  /** What calls find from now on. */
  show(versions: readonly ShownVersion[]): void {
    const now = new Map(this.#coming);
    for (const one of versions) now.set(nameOf(one), one);
    const changes = [...now].flatMap(([name, one]) => {
      const told = this.#shown.get(name);
      return told?.key === one.key && told?.weight === one.weight ? [] : [one];
    });
    for (const [name, told] of this.#shown) {
      if (!now.has(name)) changes.push({ ...told, key: undefined });
    }
    this.#shown = now;
    if (changes.length > 0) void this.#tellAll('show', changes);
  }

  /** @throws UNAVAILABLE */
  async statistics(): Promise<readonly ModelStatistics[]> {
    const { threads } = this.#options;
    const told = await Promise.all(threads.map((thread) => this.#call(thread, 'statistics')));
    return told.flatMap((one) => one as readonly ModelStatistics[]);
  }

  #call(thread: PortCaller, name: keyof SideFunctions, ...args: unknown[]): Promise<unknown> {
    return thread.call(functionName(this.#options.id, name), ...args);
  }

  /** A thread that has ended has nothing left. */
  async #tellAll(name: 'unload' | 'show', value: unknown): Promise<void> {
    const { threads, log } = this.#options;
    const told = threads.map((thread) => this.#call(thread, name, value));
    for (const one of await Promise.allSettled(told)) {
      if (one.status === 'rejected') log.debug({ err: one.reason }, 'an I/O thread has ended');
    }
  }
}

function nameOf({ model, version }: ShownVersion): string {
  return `${model}/${version}`;
}
