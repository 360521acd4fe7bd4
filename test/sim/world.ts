// What all simulated processes share: time, links, the registry's server, the catalog's store, the
// checks, and what is true of the models (who published what).
import { createLog, type Log } from '../../common/log.ts';
import { MemoryDocuments } from '../../stores/documents/memory.ts';
import { Checks } from './checks.ts';
import { Machine } from './machine.ts';
import { Network } from './network.ts';
import type { Planted } from './planted.ts';
import { Random } from './random.ts';
import { RegistryServer } from './registry-server.ts';
import { Schedule } from './schedule.ts';
import { Trace } from './trace.ts';

const SILENT = createLog({ level: 'silent' });

/** A model as the operator made it. */
export interface TrueModel {
  readonly name: string;
  readonly isIdempotent: boolean;
  /** Content by version. */
  readonly contents: Map<number, number>;
  /** Versions that served at some time. */
  readonly served: Set<number>;
  serving: number;
  copies: number;
  /** Since when it is to have so many. */
  copiesSinceMs: number;
  sizeBytes: number;
}

export interface WorldOptions {
  readonly seed: number;
  readonly planted: Planted;
  /** Each line of the trace; undefined: nobody wants them. */
  readonly write?: ((line: string) => void) | undefined;
}

export class World {
  readonly seed: number;
  readonly planted: Planted;
  readonly schedule = new Schedule();
  readonly trace: Trace;
  readonly checks: Checks;
  readonly network: Network;
  readonly documents = new MemoryDocuments();
  readonly registry: RegistryServer;
  readonly models = new Map<string, TrueModel>();
  readonly machines = new Map<string, Machine>();
  /** Blobs can't be had. */
  isBlobsDown = false;
  readonly #skews: Random;

  constructor({ seed, planted, write }: WorldOptions) {
    this.seed = seed;
    this.planted = planted;
    const nowMs = (): number => this.schedule.nowMs();
    this.trace = new Trace(nowMs, write);
    this.checks = new Checks(nowMs, this.trace);
    this.#skews = this.random(1);
    this.network = new Network(this.schedule, this.random(2));
    this.registry = new RegistryServer(
      this.machine('registry'),
      planted.serverTakesAnyShard === true,
    );
  }

  nowMs(): number {
    return this.schedule.nowMs();
  }

  /** A stream of its own. */
  random(stream: number): Random {
    return new Random(this.seed, stream);
  }

  machine(name: string): Machine {
    const known = this.machines.get(name);
    if (known !== undefined) return known;
    const offsetMs = this.#skews.between(0, 1e6);
    const rate = this.#skews.between(1 - MAX_SKEW, 1 + MAX_SKEW);
    const machine = new Machine(name, this.schedule, { offsetMs, rate });
    this.machines.set(name, machine);
    return machine;
  }

  log(name: string): Log {
    if (!this.trace.isShown) return SILENT;
    const write = (line: string): void => {
      const { level, time: _, msg, err, ...more } = JSON.parse(line) as LogLine;
      const shown = err === undefined ? more : { ...more, error: err.message };
      this.trace.show(name, `${level}: ${msg}`, JSON.stringify(shown));
    };
    return createLog({ level: 'info', destination: { write } });
  }
}

interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly err?: { readonly message: string };
}

/** Clocks run faster or slower by so much. */
const MAX_SKEW = 0.01;
