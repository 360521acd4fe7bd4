// The parsers of gRPC that a peer's bytes reach first: messages cut out of content in any pieces,
// heads and trailers out of any fields, and what is packed.
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { inflateNow } from '../../transport/grpc/gzip.ts';
import { MessageReader } from '../../transport/grpc/message-reader.ts';
import { fromFields } from '../../transport/grpc/metadata.ts';
import { decodeStatusMessage, encodeStatusMessage } from '../../transport/grpc/percent.ts';
import { RequestHead } from '../../transport/grpc/request-head.ts';
import { readOutcome, statusFields } from '../../transport/grpc/status-fields.ts';
import { formatTimeout, parseTimeoutMs } from '../../transport/grpc/timeout.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import { HeaderList } from '../../transport/http2/hpack/header-list.ts';
import { allocatedBytes } from './allocations.ts';
import { byteChanges, changed, chunkSizes, chunksOf } from './byte-changes.ts';
import { pureTarget, type Verdict } from './fuzz-target.ts';

const MAX_MESSAGE_BYTES = 60_000;
/** Room grows eightfold, and short pieces are gathered. */
const MOST_ALLOCATED_PER_BYTE = 20;
const ALLOCATED_AT_ONCE_BYTES = 200_000;

interface Cut {
  readonly messages: readonly Buffer[];
  /** Undefined: the content is whole messages. */
  readonly fault: 'flag' | 'size' | 'cut off' | undefined;
}

/** The messages of content that is all there. */
function plainCut(content: Buffer): Cut {
  const messages: Buffer[] = [];
  for (let at = 0; at < content.length; ) {
    if (content.length - at < 5) return { messages, fault: 'cut off' };
    const length = content.readUInt32BE(at + 1);
    if ((content[at] ?? 0) > 1) return { messages, fault: 'flag' };
    if (length > MAX_MESSAGE_BYTES) return { messages, fault: 'size' };
    if (at + 5 + length > content.length) return { messages, fault: 'cut off' };
    messages.push(content.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return { messages, fault: undefined };
}

const FAULT_CODES = {
  flag: Code.INTERNAL,
  size: Code.RESOURCE_EXHAUSTED,
  'cut off': Code.INTERNAL,
};

function readAll(content: Buffer, sizes: readonly number[], got: Buffer[]): Verdict {
  const reader = new MessageReader(MAX_MESSAGE_BYTES);
  let consumed = 0;
  for (const chunk of chunksOf(content, sizes)) {
    reader.push(chunk);
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      got.push(Buffer.from(next));
    }
    consumed += reader.takeConsumedBytes();
  }
  reader.end();
  return consumed === content.length ? undefined : `${consumed} bytes of ${content.length} counted`;
}

function judgeContent({ content, sizes }: { content: Buffer; sizes: readonly number[] }): Verdict {
  const wanted = plainCut(content);
  const got: Buffer[] = [];
  let code: Code | undefined;
  let verdict: Verdict;
  const bytes = allocatedBytes(() => {
    try {
      verdict = readAll(content, sizes, got);
    } catch (thrown) {
      if (!(thrown instanceof StatusError)) throw thrown;
      code = thrown.code;
    }
  });
  const most = content.length * MOST_ALLOCATED_PER_BYTE + ALLOCATED_AT_ONCE_BYTES;
  if (bytes > most) return `${content.length} bytes made it allocate ${bytes}`;
  const wantedCode = wanted.fault === undefined ? undefined : FAULT_CODES[wanted.fault];
  if (code !== wantedCode) return `ends with ${code}, should with ${wantedCode}`;
  const isSame = got.length === wanted.messages.length;
  if (!isSame || got.some((one, at) => !one.equals(wanted.messages[at] ?? Buffer.alloc(0)))) {
    return `${got.length} messages, should be ${wanted.messages.length}`;
  }
  return verdict;
}

const message = fc
  .tuple(fc.constantFrom(0, 0, 0, 1), fc.constantFrom(0, 1, 5, 100, 2_000, 59_999, 60_000, 60_001))
  .map(([flag, size]) => {
    const prefix = Buffer.from([flag, 0, 0, 0, 0]);
    prefix.writeUInt32BE(size, 1);
    return Buffer.concat([prefix, Buffer.alloc(size, size)]);
  });
const contents = fc
  .tuple(
    fc.array(message, { maxLength: 5 }),
    fc.oneof(fc.constant([]), fc.array(byteChanges, { maxLength: 2 })),
  )
  .map(([messages, changes]) => changes.reduce(changed, Buffer.concat(messages)));

const names = fc.oneof(
  fc.constantFrom(':method', ':path', 'content-type', 'grpc-timeout', 'grpc-encoding'),
  fc.constantFrom('grpc-status', 'grpc-message', 'x-bin', 'grpc-status-details-bin', 'te', 'x'),
);
const values = fc.oneof(
  fc.constantFrom('POST', '/a.B/C', 'application/grpc', '1S', 'gzip', '0', '13', 'AAA=', 'AA,BB'),
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  fc.stringMatching(/^[0-9]{0,10}[HMSmun]?$/),
  fc.stringMatching(/^(%[0-9A-Fa-f]{0,2}|[ -~]){0,20}$/),
);

function judgeFields(pairs: readonly (readonly [string, string])[]): Verdict {
  const fields = pairs.map(([name, value]) => headerField(name, value));
  const head = new RequestHead(new HeaderList(fields, 0, undefined));
  if (head.timeoutMs !== undefined) {
    if (!(head.timeoutMs >= 0)) return `a timeout of ${head.timeoutMs} ms`;
    const again = parseTimeoutMs(formatTimeout(head.timeoutMs) ?? '0S');
    if (again < head.timeoutMs * 0.999) return `${head.timeoutMs} ms are passed on as ${again}`;
  }
  const { error, trailers } = readOutcome(fields, 200);
  if (error !== undefined && error.code === Code.OK) return 'an error with the code OK';
  try {
    fromFields(fields);
  } catch (thrown) {
    if (!(thrown instanceof StatusError)) throw thrown;
    return error === undefined ? 'metadata that is not base64 went well' : undefined;
  }
  const text = decodeStatusMessage(encodeStatusMessage(error?.message ?? ''));
  if (!text.startsWith((error?.message ?? '').toWellFormed().slice(0, 100))) {
    return `the message ${error?.message} is passed on as ${text}`;
  }
  return passedOn(error, trailers);
}

/** Statuses that came can be sent on, as a router does. */
function passedOn(
  error: StatusError | undefined,
  trailers: ReturnType<typeof fromFields>,
): Verdict {
  try {
    const fields = statusFields(error?.code ?? Code.OK, error?.message ?? '', trailers);
    const again = readOutcome(fields, 200);
    return again.error?.code === error?.code ? undefined : 'a status changes when it is passed on';
  } catch (thrown) {
    if (thrown instanceof StatusError && thrown.code === Code.INVALID_ARGUMENT) return undefined;
    throw thrown;
  }
}

const packed = fc
  .tuple(
    fc.uint8Array({ maxLength: 500 }),
    fc.constantFrom(1, 10, 100),
    fc.array(byteChanges, { maxLength: 2 }),
  )
  .map(([bytes, times, changes]) => {
    const whole = Buffer.concat(new Array<Uint8Array>(times).fill(bytes));
    return changes.reduce(changed, gzipSync(whole));
  });

function judgePacked(bytes: Buffer): Verdict {
  let got: Uint8Array | undefined;
  try {
    got = inflateNow(bytes, MAX_MESSAGE_BYTES);
  } catch (thrown) {
    if (!(thrown instanceof StatusError)) throw thrown;
    return undefined;
  }
  if (got === undefined) return undefined;
  if (got.length > MAX_MESSAGE_BYTES) return `${got.length} bytes came out`;
  return gunzipSync(bytes).equals(got) ? undefined : 'other bytes came out';
}

export const grpcMessageTargets = [
  pureTarget({
    name: 'grpc-content',
    runsPerBatch: 200,
    input: fc.record({ content: contents, sizes: chunkSizes }),
    judge: judgeContent,
  }),
  pureTarget({
    name: 'grpc-fields',
    share: 0.5,
    runsPerBatch: 500,
    input: fc.array(fc.tuple(names, values), { maxLength: 8 }),
    judge: judgeFields,
  }),
  pureTarget({ name: 'gzip', share: 0.5, runsPerBatch: 300, input: packed, judge: judgePacked }),
];
