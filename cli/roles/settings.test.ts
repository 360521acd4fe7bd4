import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { variableOf } from '../flags.ts';
import { advertisedAddress, processId, readRoleSettings } from './settings.ts';

const registry = 'redis://:secret@127.0.0.1:6379';
const stores = {
  registry,
  catalog: 'postgres://torus:secret@db/torus',
  blobs: 's3://models/all',
  datasets: 'duckdb:rows.duckdb',
};

test('with nothing but addresses: the ports of the documentation, on loopback', (t) => {
  const common = { host: '127.0.0.1', metricsPort: 8002, insecure: false, logLevel: 'warn' };
  t.like(readRoleSettings('node', stores), { ...common, nodePort: 8011, memoryLimit: 0, zone: '' });
  t.like(readRoleSettings('router', { registry }), { ...common, grpcPort: 8001 });
  t.like(readRoleSettings('control', stores), { ...common, adminPort: 8003, blobPort: 8004 });
  t.like(readRoleSettings('gateway', {}), {
    ...{ ...common, httpPort: 8000, router: '127.0.0.1:8001', control: '127.0.0.1:8003' },
    blobs: 'http://127.0.0.1:8004',
  });
});

test('all that is wrong is told at once, and no password with it', (t) => {
  const flags = {
    registry: 'memory:secret',
    blobs: 'ftp://secret',
    nodePort: '-1',
    id: 'a b',
    memoryLimit: '8 pounds',
    advertise: 'a:b:c',
    metricsPort: '70000',
  };
  const error = t.throws(() => readRoleSettings('node', flags));
  t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT);
  t.is(error.message.split('\n').length, 7);
  t.false(error.message.includes('secret'));
  t.regex(error.message, /^--registry: must be redis:\/\/HOST:PORT/m);
  t.regex(error.message, /^--id "a b": must be 1 to 128 letters/m);
  t.regex(error.message, /^--memory-limit "8 pounds": must be bytes/m);
  const catalog = t.throws(() => readRoleSettings('control', { ...stores, catalog: 'x:secret' }));
  t.regex(catalog.message, /^--catalog: must be postgres:/);
});

test('what is needed and was not given is told with its form', (t) => {
  const error = t.throws(() => readRoleSettings('trainer', {}));
  t.regex(error.message, /^--registry: is needed: redis:/);
  t.is(error.message.split('\n').length, 4);
});

test('two listeners of a process on one port are refused', (t) => {
  const flags = { ...stores, adminPort: '9000', blobPort: '9000' };
  t.throws(() => readRoleSettings('control', flags), {
    message: '--blob-port 9000: is taken by --admin-port',
  });
  t.notThrows(() => readRoleSettings('control', { ...stores, adminPort: '0', blobPort: '0' }));
});

test('control keeps artifacts itself, not with another control', (t) => {
  const told = (role: 'control' | 'ingest') =>
    readRoleSettings(role, { ...stores, blobs: 'http://127.0.0.1:8004' });
  t.throws(() => told('control'), { message: /^--blobs: http: is what control itself serves/ });
  t.notThrows(() => told('ingest'));
});

test('memory limits in bytes and in their multiples', (t) => {
  const bytes = (memoryLimit: string) =>
    readRoleSettings('node', { ...stores, memoryLimit }).memoryLimit;
  t.is(bytes('1000'), 1000);
  t.is(bytes('512MiB'), 512 * 2 ** 20);
  t.is(bytes('8 GiB'), 8 * 2 ** 30);
  t.throws(() => bytes('999999999999999GiB'), { message: /is too large/ });
});

test('a node is reached where it was told, with its port unless another was', (t) => {
  t.is(advertisedAddress(undefined, '127.0.0.1:8011'), '127.0.0.1:8011');
  t.is(advertisedAddress('10.0.0.7', '0.0.0.0:8011'), '10.0.0.7:8011');
  t.is(advertisedAddress('node-1:9', '0.0.0.0:8011'), 'node-1:9');
  t.is(advertisedAddress('[::1]', '0.0.0.0:8011'), '[::1]:8011');
  t.is(advertisedAddress('[::1]:9', '0.0.0.0:8011'), '[::1]:9');
});

test('a listener on all addresses says nothing of where it is reached: it has to be told', (t) => {
  const flags = { ...stores, host: '0.0.0.0', insecure: true };
  t.throws(() => readRoleSettings('node', flags), { message: /^--advertise: is needed/ });
  t.notThrows(() => readRoleSettings('node', { ...flags, advertise: '10.0.0.7' }));
});

test('a process has a name that the cluster takes', (t) => {
  t.regex(processId(), /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);
  t.is(variableOf('--memory-limit <bytes>'), 'TORUS_MEMORY_LIMIT');
});
