// Two connections of ours talk through a pipe that cuts and delays as it likes, under an observer
// that knows only the bytes: no window is ever exceeded, nothing is lost, nothing is left behind.
import '../../../test/support/poison-reads.ts';
import test from 'ava';
import fc from 'fast-check';
import { Flag, FrameType, SettingId } from '../frames/constants.ts';
import { FrameReader, type FrameSink } from '../frames/frame-reader.ts';
import { readUint32 } from '../frames/frame-shape.ts';
import { headerField } from '../hpack/header-field.ts';
import { Connection } from './connection.ts';
import { CollectHandler, EchoHandler } from './echo-handler.ts';
import { connectionOptions } from './options.ts';
import type { Stream } from './stream.ts';

const PREFACE_BYTES = 24;
const REQUEST = [
  headerField(':method', 'POST'),
  headerField(':scheme', 'http'),
  headerField(':path', '/echo'),
  headerField(':authority', 'host'),
];

/** Follows one end's right to send: by what reached it, and what it then sent. */
class Observer {
  readonly #received = new FrameReader(16_384);
  readonly #sent = new FrameReader(16_384);
  readonly #streams = new Map<number, number>();
  #connectionBytes = 65_535;
  #initialBytes = 65_535;
  sentBytes = 0;
  violation: string | undefined;

  received(chunk: Uint8Array): void {
    this.#received.read(
      chunk,
      this.#sink((...frame) => this.#onReceived(...frame)),
    );
  }

  sent(chunk: Uint8Array): void {
    this.#sent.read(
      chunk,
      this.#sink((...frame) => this.#onSent(...frame)),
    );
  }

  #sink(take: (type: number, flags: number, id: number, payload: Uint8Array) => void): FrameSink {
    return {
      onFrame: (type, flags, id, bytes, start, end) => {
        take(type, flags, id, bytes.subarray(start, end));
        return true;
      },
      onMisshapen: (error) => {
        this.violation = error.message;
        return false;
      },
    };
  }

  #windowOf(id: number): number {
    return this.#streams.get(id) ?? this.#initialBytes;
  }

  #onReceived(type: number, flags: number, id: number, payload: Uint8Array): void {
    if (type === FrameType.WINDOW_UPDATE) {
      const increment = readUint32(payload, 0);
      if (id === 0) this.#connectionBytes += increment;
      else this.#streams.set(id, this.#windowOf(id) + increment);
    }
    if (type !== FrameType.SETTINGS || (flags & Flag.ACK) !== 0) return;
    for (let at = 0; at < payload.length; at += 6) {
      if (payload[at + 1] !== SettingId.INITIAL_WINDOW_SIZE) continue;
      const change = readUint32(payload, at + 2) - this.#initialBytes;
      this.#initialBytes += change;
      for (const [stream, bytes] of this.#streams) this.#streams.set(stream, bytes + change);
    }
  }

  #onSent(type: number, _flags: number, id: number, payload: Uint8Array): void {
    if (type !== FrameType.DATA) return;
    this.sentBytes += payload.length;
    this.#connectionBytes -= payload.length;
    this.#streams.set(id, this.#windowOf(id) - payload.length);
    if (this.#connectionBytes < 0) this.violation = 'more than the connection allows';
    if (this.#windowOf(id) < 0 && payload.length > 0) this.violation = `more than ${id} allows`;
  }
}

/** Numbers from 0 to below `end`, the same for the same seed. */
function randomOf(seed: number): (end: number) => number {
  let state = seed | 1;
  return (end) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    return ((state ^ (state >>> 13)) >>> 0) % end;
  };
}

/** Byte `at` of a request's content: wrong order or a wrong stream shows. */
function fill(id: number, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (id * 31 + (from + i) * 7 + ((from + i) >> 8)) & 0xff;
  return bytes;
}

interface Upload {
  readonly stream: Stream;
  sentBytes: number;
  isOver: boolean;
}

class Conversation {
  readonly random: (end: number) => number;
  readonly serverHandler = new EchoHandler();
  readonly clientHandler: CollectHandler;
  readonly client: Connection;
  readonly server: Connection;
  readonly observers = [new Observer(), new Observer()] as const;
  readonly uploads: Upload[] = [];
  readonly unconsumed = new Map<Stream, number>();
  #toServer: Uint8Array = new Uint8Array(0);
  #toClient: Uint8Array = new Uint8Array(0);
  #clientSentBytes = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
    const windows = () => 65_535 + this.random(3) * 40_000;
    const options = (isServer: boolean) =>
      connectionOptions(isServer, {
        streamWindowBytes: windows(),
        connectionWindowBytes: windows(),
        mostStreamWindowBytes: windows(),
        windowGrowthBytes: this.random(2) * 50_000,
      });
    this.clientHandler = new CollectHandler((stream, bytes) => {
      this.unconsumed.set(stream, (this.unconsumed.get(stream) ?? 0) + bytes);
    });
    this.client = new Connection(options(false), this.clientHandler, 0);
    this.server = new Connection(options(true), this.serverHandler, 0);
    this.serverHandler.serve(this.server);
  }

  step(): void {
    const choice = this.random(10);
    if (choice === 0) this.open();
    else if (choice <= 3) this.upload();
    else if (choice <= 5) this.consume(this.random(4) === 0);
    else if (choice === 6 && this.random(6) === 0) this.reset();
    else this.move();
  }

  open(): void {
    const stream = this.client.open(REQUEST, false);
    if (stream !== undefined) this.uploads.push({ stream, sentBytes: 0, isOver: false });
  }

  upload(): void {
    const upload = this.uploads[this.random(Math.max(1, this.uploads.length))];
    if (upload === undefined || upload.isOver) return;
    const bytes = fill(upload.stream.id, upload.sentBytes, this.random(30_000));
    upload.isOver = this.random(4) === 0;
    upload.sentBytes += bytes.length;
    this.client.sendData(upload.stream, bytes, upload.isOver);
  }

  consume(isAll: boolean): void {
    for (const [stream, bytes] of this.unconsumed) {
      const part = isAll ? bytes : this.random(bytes + 1);
      this.client.consume(stream, part);
      this.unconsumed.set(stream, bytes - part);
    }
  }

  reset(): void {
    const upload = this.uploads[this.random(Math.max(1, this.uploads.length))];
    if (upload === undefined) return;
    upload.isOver = true;
    this.client.reset(upload.stream, 8);
  }

  /** Takes what both ends have, and delivers a part of it. */
  move(isAll = false): void {
    const fromClient = Buffer.concat(this.client.take());
    const isFirst = this.#clientSentBytes === 0 && fromClient.length > 0;
    this.observers[0].sent(isFirst ? fromClient.subarray(PREFACE_BYTES) : fromClient);
    this.#clientSentBytes += fromClient.length;
    const fromServer = Buffer.concat(this.server.take());
    this.observers[1].sent(fromServer);
    this.#toServer = Buffer.concat([this.#toServer, fromClient]);
    this.#toClient = Buffer.concat([this.#toClient, fromServer]);
    this.#toServer = this.#deliver(this.server, this.#toServer, isAll, this.observers[1]);
    this.#toClient = this.#deliver(this.client, this.#toClient, isAll, this.observers[0]);
  }

  #prefaceLeft = PREFACE_BYTES;

  #deliver(to: Connection, bytes: Uint8Array, isAll: boolean, observer: Observer): Uint8Array {
    const length = isAll ? bytes.length : this.random(bytes.length + 1);
    const chunk = Uint8Array.prototype.slice.call(bytes, 0, length);
    let skip = 0;
    if (to === this.server) {
      skip = Math.min(this.#prefaceLeft, length);
      this.#prefaceLeft -= skip;
    }
    observer.received(chunk.subarray(skip));
    to.receive(chunk, 0);
    return bytes.subarray(length);
  }

  get #isUnsettled(): boolean {
    const { client, server } = this;
    const isOpen = client.openStreams + server.openStreams > 0;
    return isOpen || client.heldBytes + server.heldBytes > 0 || this.#toServer.length > 0;
  }

  /** Ends every upload and lets everything flow. */
  settle(): void {
    for (const upload of this.uploads) {
      if (!upload.isOver) this.client.sendData(upload.stream, new Uint8Array(0), true);
      upload.isOver = true;
    }
    for (let round = 0; round < 400 && this.#isUnsettled; round++) {
      this.move(true);
      this.consume(true);
    }
  }
}

test('whatever is sent, consumed, cut and reset in whatever order: windows hold', (t) => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 20, max: 300 }), (seed, steps) => {
      const talk = new Conversation(seed);
      for (let i = 0; i < steps; i++) talk.step();
      talk.settle();
      const { client, server, clientHandler, serverHandler, observers } = talk;
      t.deepEqual([clientHandler.failure, serverHandler.failure], [undefined, undefined]);
      t.deepEqual([observers[0].violation, observers[1].violation], [undefined, undefined]);
      t.deepEqual([client.openStreams, server.openStreams], [0, 0]);
      t.deepEqual([client.heldBytes, server.heldBytes], [0, 0]);
      for (const { stream, sentBytes } of talk.uploads) {
        const answer = Buffer.concat(clientHandler.answerOf(stream).chunks);
        const expected = fill(stream.id, 0, stream.isReset ? answer.length : sentBytes);
        t.is(Buffer.compare(answer, expected), 0, `stream ${stream.id}`);
      }
    }),
    { numRuns: 60 },
  );
});

test('windows are as large after many calls as at the start', (t) => {
  const talk = new Conversation(7);
  for (let call = 0; call < 60; call++) {
    const stream = talk.client.open(REQUEST, false);
    if (stream === undefined) throw new Error('no stream');
    talk.uploads.push({ stream, sentBytes: 50_000, isOver: true });
    talk.client.sendData(stream, fill(stream.id, 0, 50_000), true);
    if (call % 3 === 0) {
      talk.move();
      talk.client.reset(stream, 8);
    }
    talk.settle();
  }
  t.is(talk.clientHandler.done, 40);
  t.true(talk.observers[0].sentBytes > 2_000_000);
  t.is(talk.server.heldBytes, 0);
});
