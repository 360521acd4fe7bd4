// A server under test, as a process of its own that prints 'listening PORT' and ends on SIGTERM.
// It may answer lines on its standard input ('calls' by 'calls N'), and ends when that closes, so
// that no server outlives its bench.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { leanStart } from '../cli/up/lean-process.ts';
import { unavailable } from '../common/status.ts';

const START_TIMEOUT_MS = 30_000;
const ANSWER_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 10_000;
/** /proc/PID/stat counts in ticks of 10 ms (sysconf(_SC_CLK_TCK), 100 on Linux). */
const TICK_MS = 10;
/** proc(5), clear_refs: the peak of the resident set starts anew from what it is now. */
const RESET_PEAK = '5';

export interface Launch {
  readonly name: string;
  readonly command: readonly string[];
  /** The only core that it runs on; absent: whichever. */
  readonly core?: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** Lines that it prints about itself: all that answer nothing. */
  heard?(line: string): void;
  /** A program that says nothing of itself: its port is known, and it is up when that accepts. */
  readonly ready?: { readonly port: number; untilUp(): Promise<void> };
}

export interface Contender {
  readonly name: string;
  readonly port: number;
  /** Processor time used so far, all threads; undefined where /proc is absent. */
  cpuMs(): Promise<number | undefined>;
  /** The resident set now and at its peak since resetPeak(). */
  memory(): Promise<{ readonly rssBytes: number; readonly peakBytes: number }>;
  resetPeak(): Promise<void>;
  /** @returns what follows the line's own word in the answer: numbers. */
  ask(line: string, timeoutMs?: number): Promise<readonly number[]>;
  stop(): Promise<void>;
}

/** @param script relative to this folder. */
export function nodeScript(script: string, args: readonly string[] = []): readonly string[] {
  const path = fileURLToPath(new URL(script, import.meta.url));
  return [process.execPath, '--expose-gc', path, ...args];
}

/** One of our own servers, with the settings of V8 and glibc that `torus up` gives itself. */
export function ownServer(name: string, script: string, args: readonly string[] = []): Launch {
  const command = nodeScript(script, args);
  const start = leanStart({ platform: process.platform, env: {}, execArgv: [] });
  if (start === undefined) return { name, command };
  const [node = '', ...rest] = command;
  return { name, command: [node, ...start.execArgv, ...rest], environment: start.env };
}

/** @throws UNAVAILABLE when it does not come up. */
export async function startContender(launch: Launch): Promise<Contender> {
  const pinned = launch.core === undefined ? [] : ['taskset', '-c', String(launch.core)];
  const [program = '', ...args] = [...pinned, ...launch.command];
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...launch.environment },
  });
  child.stdin.on('error', () => {});
  const conversation = new Conversation(launch, child);
  let port = launch.ready?.port;
  try {
    if (launch.ready !== undefined) await launch.ready.untilUp();
    port ??= await conversation.listening();
  } catch (thrown) {
    await stop(child);
    throw thrown;
  }
  return {
    name: launch.name,
    port,
    cpuMs: () => cpuMs(child.pid),
    memory: () => memory(child.pid),
    resetPeak: () => writeFile(`/proc/${child.pid}/clear_refs`, RESET_PEAK),
    ask: (line, timeoutMs) => conversation.ask(line, timeoutMs),
    stop: () => stop(child),
  };
}

/** The lines that a server prints, and who waits for which. */
class Conversation {
  readonly #name: string;
  readonly #heardLine: (line: string) => void;
  readonly #child: ChildProcess;
  readonly #waiting: { word: string; take: (rest: string) => void }[] = [];
  readonly #gone: Promise<never>;

  constructor(launch: Launch, child: ChildProcess) {
    this.#name = launch.name;
    this.#heardLine = (line) => launch.heard?.(line);
    this.#child = child;
    this.#gone = new Promise((_, reject) => {
      child.once('error', (cause) => reject(this.#error(cause.message)));
      child.once('exit', (code, signal) => reject(this.#error(`it ended with ${code ?? signal}`)));
    });
    this.#gone.catch(() => {});
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on('line', (line) => this.#heard(line));
  }

  async listening(): Promise<number> {
    return Number(await this.#answer('listening', START_TIMEOUT_MS));
  }

  async ask(line: string, timeoutMs = ANSWER_TIMEOUT_MS): Promise<readonly number[]> {
    const answer = this.#answer(line, timeoutMs);
    this.#child.stdin?.write(`${line}\n`);
    return (await answer).split(' ').map(Number);
  }

  #heard(line: string): void {
    const space = line.indexOf(' ');
    const word = space === -1 ? line : line.slice(0, space);
    const at = this.#waiting.findIndex((one) => one.word === word);
    if (at === -1) this.#heardLine(line);
    else this.#waiting.splice(at, 1)[0]?.take(line.slice(word.length + 1));
  }

  #answer(word: string, timeoutMs: number): Promise<string> {
    const heard = Promise.withResolvers<string>();
    this.#waiting.push({ word, take: heard.resolve });
    const timer = setTimeout(
      () => heard.reject(this.#error(`no '${word}' within ${timeoutMs} ms`)),
      timeoutMs,
    );
    return Promise.race([heard.promise, this.#gone]).finally(() => clearTimeout(timer));
  }

  #error(why: string): Error {
    return unavailable(`${this.#name} did not start or answer: ${why}`);
  }
}

async function cpuMs(pid: number | undefined): Promise<number | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return undefined;
  }
}

async function memory(pid: number | undefined) {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  const bytes = (key: string): number =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN) * 1_024;
  return { rssBytes: bytes('VmRSS'), peakBytes: bytes('VmHWM') };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.stdin?.end();
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}
