import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { readUpSettings } from './settings.ts';

test('without flags: the ports of the documentation, two nodes, loopback', (t) => {
  const settings = readUpSettings({});
  t.like(settings, {
    host: '127.0.0.1',
    data: './data',
    grpcPort: 8001,
    httpPort: 8000,
    metricsPort: 8002,
    adminPort: 8003,
    blobPort: 8004,
    nodePort: 8011,
    nodes: 2,
    execution: 'auto',
    isDemo: false,
    isInsecure: false,
  });
});

test('all problems are told at once, each with its flag', (t) => {
  const error = t.throws(() =>
    readUpSettings({
      ...{ grpcPort: 'x', httpPort: '70000', nodes: '0', logLevel: 'loud', execution: 'gpu' },
      ioThreads: '65',
    }),
  );
  t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT);
  const lines = error.message.split('\n');
  t.is(lines.length, 6);
  t.regex(error.message, /--execution "gpu"/);
  t.regex(lines[0] ?? '', /^--grpc-port "x": must be a port number/);
  t.regex(error.message, /--http-port "70000": must be at most 65535/);
  t.regex(error.message, /--nodes "0": must be 1 to 64/);
  t.regex(error.message, /--io-threads "65": must be 1 to 64/);
  t.regex(error.message, /--log-level "loud"/);
});

test('a switch is given as a flag or as text, which may say no', (t) => {
  t.like(readUpSettings({ demo: true, insecure: 'true' }), { isDemo: true, isInsecure: true });
  t.like(readUpSettings({ demo: '0', insecure: 'false' }), { isDemo: false, isInsecure: false });
  t.throws(() => readUpSettings({ demo: 'maybe' }), {
    message: /^--demo "maybe": must be true or/,
  });
});

test('two listeners on one port are refused, free ports may repeat', (t) => {
  t.throws(() => readUpSettings({ grpcPort: '9000', httpPort: '9000' }), {
    message: '--http-port 9000: is taken by --grpc-port',
  });
  t.throws(() => readUpSettings({ nodePort: '8003' }), { message: /--node-port of node 1 8003/ });
  t.throws(() => readUpSettings({ nodePort: '65535' }), { message: /node 2 is past 65535/ });
  t.notThrows(() => readUpSettings({ grpcPort: '0', httpPort: '0', nodePort: '0', nodes: '9' }));
});

test('spans: off by default; the address of a collector with or without its path', (t) => {
  t.like(readUpSettings({}), { traceOtlp: undefined, traceSample: 0.01 });
  const otlp = (traceOtlp: string) => readUpSettings({ traceOtlp }).traceOtlp;
  t.is(otlp('http://127.0.0.1:4318'), 'http://127.0.0.1:4318/v1/traces');
  t.is(otlp('https://tempo/otlp/'), 'https://tempo/otlp/v1/traces');
  t.is(otlp('http://c:4318/v1/traces'), 'http://c:4318/v1/traces');
  t.is(readUpSettings({ traceSample: '1' }).traceSample, 1);
  t.throws(() => readUpSettings({ traceOtlp: '127.0.0.1:4317', traceSample: '1.5' }), {
    message: /^--trace-otlp .*such as http.*\n--trace-sample "1.5": must be a number from 0 to 1/,
  });
});
