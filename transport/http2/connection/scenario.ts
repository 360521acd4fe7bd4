// Plays a test script against one end of a connection and writes down what it answers: frames as
// `< HEADERS 1 ...`, the handler's calls as `! data 1 len=5`. The scripts are in testdata/.
import { errorName } from '../frames/constants.ts';
import { BlockPool } from '../frames/output.ts';
import type { HeaderField } from '../hpack/header-field.ts';
import type { HeaderList } from '../hpack/header-list.ts';
import { Connection } from './connection.ts';
import { errorCodeOf, FramePrinter, fieldsOf, fieldsText, parseFrame } from './frame-text.ts';
import type { ConnectionHandler } from './handler.ts';
import { type ConnectionLimits, DEFAULT_LIMITS, type LimitName } from './limits.ts';
import type { Stream } from './stream.ts';

const START_MS = 1_000;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

class Recorder implements ConnectionHandler {
  readonly streams = new Map<number, Stream>();
  events: string[] = [];

  #note(event: string): void {
    this.events.push(`! ${event}`);
  }

  onHeaders(stream: Stream, headers: HeaderList, endStream: boolean): void {
    this.streams.set(stream.id, stream);
    this.#note(`headers ${stream.id}${endStream ? ' end' : ''}${fieldsText(headers.fields)}`);
  }

  onData(stream: Stream, _bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    this.#note(`data ${stream.id}${isEnd ? ' end' : ''} len=${end - start}`);
  }

  onTrailers(stream: Stream, headers: HeaderList): void {
    this.#note(`trailers ${stream.id}${fieldsText(headers.fields)}`);
  }

  onDone(stream: Stream): void {
    this.#note(`done ${stream.id}`);
  }

  onReset(stream: Stream, code: number, isUnprocessed: boolean, why: string): void {
    const note = isUnprocessed ? ' unprocessed' : '';
    this.#note(`reset ${stream.id} ${errorName(code)}${note}: ${why}`);
  }

  onWritable(stream: Stream): void {
    this.#note(`writable ${stream.id}`);
  }

  onOpenable(): void {
    this.#note('openable');
  }

  onGoaway(lastStreamId: number, code: number): void {
    this.#note(`goaway last=${lastStreamId} ${errorName(code)}`);
  }

  onPong(bytes: Uint8Array, at: number): void {
    this.#note(`pong ${Buffer.from(bytes.subarray(at, at + 8)).toString('latin1')}`);
  }

  onLimit(name: LimitName): void {
    this.#note(`limit ${name}`);
  }

  onFailed(code: number): void {
    this.#note(`failed ${errorName(code)}`);
  }
}

function namedFields(words: readonly string[]): HeaderField[] {
  return fieldsOf(words.filter((word) => /^[A-Z]+$|=/.test(word)));
}

/** Runs the commands of one case; each gives the lines that it caused. */
export class Scenario {
  #connection: Connection | undefined;
  readonly #recorder = new Recorder();
  readonly #printer = new FramePrinter();
  #nowMs = START_MS;
  #isServer = true;
  /** The socket takes nothing. */
  #isHeld = false;

  run(command: string): string[] {
    const [verb = '', ...words] = command.split(' ');
    const rest = words.join(' ');
    if (verb === 'server' || verb === 'client') return this.#start(verb === 'server', words);
    const connection = this.#connection;
    if (connection === undefined) throw new Error('a script starts with server or client');
    if (verb === 'send') this.#send(connection, rest);
    else if (verb === 'wait') {
      this.#nowMs += Number(rest);
      if (this.#nowMs >= connection.deadlineMs()) connection.onTime(this.#nowMs);
    } else this.#act(connection, verb, words);
    if (verb === 'hold') this.#isHeld = true;
    if (verb === 'take') this.#isHeld = false;
    const lines = this.#outcome(connection, !this.#isHeld);
    if (verb === 'wait' && lines.length > 0) lines.unshift(`@ ${this.#nowMs - START_MS} ms`);
    return lines;
  }

  /** `raw` leaves out the peer's part of the start; `name=value` sets a limit. */
  #start(isServer: boolean, words: readonly string[]): string[] {
    const given = words.filter((word) => word.includes('=')).map((word) => word.split('='));
    const numbers = Object.fromEntries(given.map(([name, value]) => [name, Number(value)]));
    const limits: ConnectionLimits = { ...DEFAULT_LIMITS, ...numbers };
    this.#isServer = isServer;
    const connection = new Connection(
      {
        isServer,
        limits,
        streamWindowBytes: 65_535,
        connectionWindowBytes: 100_000,
        mostStreamWindowBytes: 65_535,
        windowGrowthBytes: 0,
        maxFrameBytes: 16_384,
        headerTableBytes: numbers.headerTableBytes ?? 4_096,
        pool: new BlockPool(),
      },
      this.#recorder,
      this.#nowMs,
    );
    this.#connection = connection;
    if (words.includes('raw')) return this.#outcome(connection, true);
    if (isServer) connection.receive(PREFACE, this.#nowMs);
    connection.receive(parseFrame('SETTINGS'), this.#nowMs);
    connection.receive(parseFrame('SETTINGS ack'), this.#nowMs);
    this.#outcome(connection, true);
    return [];
  }

  /** Several frames of one chunk are divided by ` | `; `12 x FRAME` repeats one. */
  #send(connection: Connection, rest: string): void {
    const frames = rest.split(' | ').flatMap((line) => {
      if (line === 'PREFACE') return [PREFACE];
      const repeated = /^(\d+) x (.*)$/.exec(line);
      if (repeated === null) return [parseFrame(line)];
      return Array.from({ length: Number(repeated[1]) }, (_, at) =>
        parseFrame((repeated[2] ?? '').replaceAll('$', String(at * 2 + 1))),
      );
    });
    connection.receive(Buffer.concat(frames), this.#nowMs);
  }

  #act(connection: Connection, verb: string, words: readonly string[]): void {
    switch (verb) {
      case 'hold':
      case 'take':
        break;
      case 'drain':
        connection.drain(this.#nowMs);
        break;
      case 'ping':
        connection.ping(Buffer.from(words[0] ?? ''));
        break;
      case 'lost':
        connection.lost('the socket was closed');
        break;
      case 'open':
        this.#open(connection, words);
        break;
      default:
        this.#actOnStream(connection, verb, words);
    }
  }

  #open(connection: Connection, words: readonly string[]): void {
    const { events, streams } = this.#recorder;
    try {
      const stream = connection.open(namedFields(words), words.includes('end'));
      if (stream === undefined) events.push('! none can be opened');
      else streams.set(stream.id, stream);
    } catch (thrown) {
      if (!(thrown instanceof RangeError)) throw thrown;
      events.push('! refused');
    }
  }

  #actOnStream(connection: Connection, verb: string, words: readonly string[]): void {
    const stream = this.#recorder.streams.get(Number(words[0]));
    if (stream === undefined) throw new Error(`no stream for ${verb} ${words.join(' ')}`);
    const isEnd = words.includes('end');
    switch (verb) {
      case 'headers':
        connection.sendHeaders(stream, namedFields(words), isEnd);
        break;
      case 'data': {
        const isRoom = connection.sendData(stream, Buffer.alloc(Number(words[1]), 0x62), isEnd);
        if (!isRoom) this.#recorder.events.push('! wait');
        break;
      }
      case 'trailers':
        connection.sendTrailers(stream, namedFields(words));
        break;
      case 'reset':
        connection.reset(stream, errorCodeOf(words[1] ?? ''));
        break;
      case 'consume':
        connection.consume(stream, Number(words[1]));
        break;
      default:
        throw new Error(`no such command: ${verb}`);
    }
  }

  #outcome(connection: Connection, isTaken: boolean): string[] {
    const chunks = isTaken ? connection.take() : [];
    const bytes = Buffer.concat(chunks);
    const isPreface = !this.#isServer && bytes.subarray(0, 3).toString() === 'PRI';
    const frames = this.#printer.print([isPreface ? bytes.subarray(PREFACE.length) : bytes]);
    const lines = [...this.#recorder.events, ...frames.map((line) => `< ${line}`)];
    this.#recorder.events = [];
    if (connection.isDone && lines.length > 0) lines.push('! is done');
    return lines;
  }
}
