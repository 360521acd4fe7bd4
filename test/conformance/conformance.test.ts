// The service that outside judges call, called by a client of our own and by grpc-js; and the
// quickest of what the judges themselves say, where they are installed. All of it: npm run
// conformance.
import { Client, type ClientReadableStream, credentials, Metadata } from '@grpc/grpc-js';
import test from 'ava';
import { outsideTool } from '../support/outside-tools.ts';
import { skip } from '../support/skip.ts';
import { readReport, runH2spec } from './h2spec-run.ts';
import { grpcGo, runCases } from './interop-cases.ts';
import { type TestListener, testListener } from './test-listener.ts';
import { testMethod } from './testing-messages.ts';

let listener: TestListener;
let client: Client;
test.before(async () => {
  listener = await testListener(false);
  client = new Client(`127.0.0.1:${listener.port}`, credentials.createInsecure());
});
test.after.always(() => {
  client?.close();
  listener?.stop();
});

const UNARY = testMethod('grpc.testing.TestService', 'UnaryCall');
const OUTPUT = testMethod('grpc.testing.TestService', 'StreamingOutputCall');
const encode = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

interface Answer {
  readonly response: unknown;
  readonly head: Metadata;
  readonly trailers: Metadata;
}

function unaryCall(request: object, metadata = new Metadata()): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let head = new Metadata();
    let response: unknown;
    const call = client.makeUnaryRequest(
      UNARY.path,
      encode,
      UNARY.decodeResponse,
      UNARY.encodeRequest(request),
      metadata,
      (error, value) => {
        if (error !== null) reject(error);
        response = value;
      },
    );
    call.on('metadata', (received: Metadata) => {
      head = received;
    });
    call.on('status', (status) => resolve({ response, head, trailers: status.metadata }));
  });
}

test('a payload of the size that was asked for, and metadata on both ends', async (t) => {
  const metadata = new Metadata();
  metadata.set('x-grpc-test-echo-initial', 'first');
  metadata.set('x-grpc-test-echo-trailing-bin', Buffer.from([1, 255]));
  const { response, head, trailers } = await unaryCall({ responseSize: 70_000 }, metadata);
  t.is((response as { payload: { body: Buffer } }).payload.body.length, 70_000);
  t.deepEqual(head.get('x-grpc-test-echo-initial'), ['first']);
  t.deepEqual(trailers.get('x-grpc-test-echo-trailing-bin'), [Buffer.from([1, 255])]);
});

test('a status that was asked for; a compressed request that was not sent', async (t) => {
  const asked = unaryCall({ responseStatus: { code: 2, message: 'test ü' } });
  const status = await t.throwsAsync(asked);
  t.like(status, { code: 2, details: 'test ü' });
  const plain = await t.throwsAsync(unaryCall({ expectCompressed: { value: true } }));
  t.like(plain, { code: 3 });
  await t.throwsAsync(unaryCall({ responseSize: -1 }), { message: /not -1/ });
});

test('answers of a stream, each compressed or not as asked', async (t) => {
  const responseParameters = [
    { size: 9_000, compressed: { value: true } },
    { size: 10, compressed: { value: false } },
  ];
  const request = OUTPUT.encodeRequest({ responseParameters });
  const sizes: number[] = [];
  const call: ClientReadableStream<unknown> = client.makeServerStreamRequest(
    OUTPUT.path,
    encode,
    OUTPUT.decodeResponse,
    request,
  );
  for await (const message of call) {
    sizes.push((message as { payload: { body: Buffer } }).payload.body.length);
  }
  t.deepEqual(sizes, [9_000, 10]);
});

const REPORT = `<testsuites><testsuite name="a" package="generic/1">
<testcase package="generic/1" classname="Starts a stream" time="0.1"></testcase>
<testcase package="http2/3.5" classname="Sends a preface" time="0.1"/>
<testcase package="http2/4.2" classname="Too large" time="0.1"><failure>GOAWAY
wanted</failure></testcase>
<testcase package="http2/5.1" classname="Odd" time="0.1"><skipped/></testcase>
</testsuite></testsuites>`;

test('what a report of h2spec says', (t) => {
  t.deepEqual(readReport(REPORT), {
    passed: 2,
    failed: ['http2/4.2: Too large'],
    skipped: ['http2/5.1: Odd'],
  });
});

test('h2spec: HPACK, and streams in each of their states', async (t) => {
  const program = outsideTool('bin/h2spec');
  if (program === undefined) return skip(t, 'h2spec is not installed (scripts/ci-setup)');
  const { port } = listener;
  const sections = ['hpack', 'http2/5.1.1', 'http2/6.3', 'http2/6.9.1'];
  const path = '/grpc.testing.TestService/EmptyCall';
  const options = { program, port, path, isStrict: true, isTls: false, sections };
  const { passed, skipped, failed } = await runH2spec(options);
  t.deepEqual([...skipped, ...failed], []);
  t.true(passed >= 14, `${passed} cases`);
});

test('the interoperability client of grpc-go: metadata, cancellation, load reports', async (t) => {
  const program = outsideTool('grpc-go/client');
  if (program === undefined) return skip(t, 'grpc-go client is not installed (scripts/ci-setup)');
  const cases = ['custom_metadata', 'cancel_after_begin', 'ping_pong', 'orca_per_rpc'];
  const outcomes = await runCases(grpcGo(program), listener.port, cases);
  t.deepEqual(
    outcomes,
    cases.map((name) => ({ name, failure: undefined })),
  );
});
