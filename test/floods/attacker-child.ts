// Attacks a port: writes as fast as the sockets take it, and comes back when it is cut off.
import { connect, type Socket } from 'node:net';
import { FrameType } from '../../transport/http2/frames/constants.ts';
import { FrameReader } from '../../transport/http2/frames/frame-reader.ts';
import { type Attack, attacks } from './attacks.ts';
import { answerParent } from './child-process.ts';

/** Until it comes back. */
const AGAIN_MS = 50;
const MAX_FRAME_BYTES = 16_777_215;

export interface AttackReport {
  /** Connections that were cut off, or whose streams were. */
  readonly cutOff: number;
  /** The longest that any of them lasted, those included that still do. */
  readonly longestMs: number;
  readonly sentBytes: number;
}

const ALL = new Map(attacks().map((attack) => [attack.name, attack]));

class Assault {
  readonly #attack: Attack;
  readonly #port: number;
  readonly #open = new Map<Socket, number>();
  #isOver = false;
  #cutOff = 0;
  #longestMs = 0;
  #sentBytes = 0;

  constructor(attack: Attack, port: number) {
    this.#attack = attack;
    this.#port = port;
    for (let i = 0; i < attack.connections; i++) this.#connect();
  }

  get cutOff(): number {
    return this.#cutOff;
  }

  stop(): AttackReport {
    this.#isOver = true;
    for (const [socket, startMs] of this.#open) {
      this.#longestMs = Math.max(this.#longestMs, performance.now() - startMs);
      socket.destroy();
    }
    return { cutOff: this.#cutOff, longestMs: this.#longestMs, sentBytes: this.#sentBytes };
  }

  #connect(): void {
    if (this.#isOver) return;
    const socket = connect(this.#port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('connect', () => {
      if (this.#isOver) {
        socket.destroy();
        return;
      }
      this.#open.set(socket, performance.now());
      this.#run(socket);
    });
    socket.on('end', () => this.#cut(socket));
    socket.on('close', () => {
      this.#cut(socket);
      setTimeout(() => this.#connect(), AGAIN_MS);
    });
    const { streams } = this.#attack;
    if (streams === undefined) socket.resume();
    else this.#countResets(socket, streams);
  }

  #cut(socket: Socket): void {
    const startMs = this.#open.get(socket);
    if (startMs === undefined || this.#isOver) return;
    this.#open.delete(socket);
    this.#cutOff += 1;
    this.#longestMs = Math.max(this.#longestMs, performance.now() - startMs);
  }

  #countResets(socket: Socket, wanted: number): void {
    const reader = new FrameReader(MAX_FRAME_BYTES);
    let resets = 0;
    const sink = {
      onFrame: (type: number): boolean => {
        if (type === FrameType.RST_STREAM) resets += 1;
        return true;
      },
      onMisshapen: (): boolean => true,
    };
    socket.on('data', (chunk: Buffer) => {
      reader.read(chunk, sink);
      if (resets < wanted) return;
      this.#cut(socket);
      socket.destroy();
    });
  }

  #run(socket: Socket): void {
    const { begin, more, everyMs } = this.#attack;
    let round = 0;
    const write = (bytes: Buffer): boolean => {
      this.#sentBytes += bytes.length;
      return socket.write(bytes);
    };
    if (begin.length > 0) write(begin);
    if (more === undefined) return;
    const turn = (): void => {
      if (this.#isOver || !socket.writable) return;
      const isRoom = write(more(round));
      round += 1;
      if (everyMs !== undefined) setTimeout(turn, everyMs);
      else if (isRoom) setImmediate(turn);
      else socket.once('drain', turn);
    };
    turn();
  }
}

let assault: Assault | undefined;
const questions = {
  start({ name, port }: { name: string; port: number }): boolean {
    const attack = ALL.get(name);
    if (attack === undefined) return false;
    assault = new Assault(attack, port);
    return true;
  },
  cutOff(): number {
    return assault?.cutOff ?? 0;
  },
  stop(): AttackReport | undefined {
    return assault?.stop();
  },
};
export type AttackerQuestions = typeof questions;
answerParent(questions);
