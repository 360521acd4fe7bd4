import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { untilTrue } from '../../test/support/redis-server.ts';
import { hasS3, type S3Server, startS3 } from '../../test/support/s3-server.ts';
import { skip } from '../../test/support/skip.ts';
import { tcpProxy } from '../../test/support/tcp-proxy.ts';
import { blobsContract } from './blobs.contract.ts';
import { begun, survivesCuts } from './resumed.contract.ts';
import { openS3Blobs, type S3BlobsOptions } from './s3.ts';
import { verified } from './verified.ts';

const unavailable = { instanceOf: StatusError, code: Code.UNAVAILABLE } as const;
const DAY_MS = 24 * 60 * 60 * 1000;
const MIB = 1024 * 1024;

let started: S3Server | undefined;
test.before(async () => {
  if (hasS3) started = await startS3();
});
test.after.always(() => started?.end());

function running(): S3Server {
  if (started === undefined) throw new Error('the service has not started');
  return started;
}

if (!hasS3) {
  test('blobs on S3', (t) => skip(t, 'no versitygw: run scripts/ci-setup'));
} else {
  blobsContract('s3', async () => {
    const { bucket, url } = await place(running());
    const store = await openS3Blobs(url, { credentials: running().credentials });
    const end = async (): Promise<void> => {
      await store.close();
      if ((await remains(running(), bucket)).length > 0)
        throw new Error('something was left behind');
    };
    return { store, end };
  });
}

async function place(service: S3Server) {
  const name = await service.bucket();
  return { bucket: name, url: `s3://${name}/some/folder?endpoint=${service.endpoint}` };
}

function client({ endpoint, credentials }: S3Server): S3Client {
  return new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true });
}

/** Keys that are no blobs, and uploads that are under way. */
async function remains(running: S3Server, bucket: string): Promise<readonly string[]> {
  const s3 = client(running);
  const objects = await s3.send(new ListObjectsV2Command({ Bucket: bucket }));
  const uploads = await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  const keys = [...(objects.Contents ?? []), ...(uploads.Uploads ?? [])].map(
    ({ Key }) => Key ?? '',
  );
  s3.destroy();
  return keys.filter((key) => !/^some\/folder\/blobs\/[0-9a-f]{64}$/.test(key));
}

type Body = (t: ExecutionContext, running: S3Server) => Promise<void>;

/** One after the other: some of them stop the server. */
function withServer(title: string, body: Body): void {
  if (hasS3) test.serial(`s3: ${title}`, (t) => body(t, running()));
}

async function opened(t: ExecutionContext, running: S3Server, options: S3BlobsOptions = {}) {
  const { bucket, url } = await place(running);
  const store = await openS3Blobs(url, { credentials: running.credentials, ...options });
  t.teardown(() => store.close());
  return { store, bucket, url };
}

async function* content(sizeBytes: number) {
  for (let at = 0; at < sizeBytes; at += MIB) yield Buffer.alloc(MIB, at / MIB);
}

withServer('what is larger than one copy is copied in parts', async (t, running) => {
  const { store, bucket } = await opened(t, running, { copyBytes: 5 * MIB });
  const info = await store.write(content(12 * MIB), { maxBytes: 12 * MIB });
  t.is(info.sizeBytes, 12 * MIB);
  await t.notThrowsAsync(Array.fromAsync(verified(store.read(info.sha256), info)));
  t.deepEqual(await remains(running, bucket), []);
});

withServer(
  'a process killed in a write leaves no blob, and a day later nothing',
  async (t, running) => {
    const { store, bucket, url } = await opened(t, running);
    const { credentials } = running;
    const source = `
    import { openS3Blobs } from ${JSON.stringify(import.meta.resolve('./s3.ts'))};
    const credentials = ${JSON.stringify(credentials)};
    const store = await openS3Blobs(${JSON.stringify(url)}, { credentials });
    const half = (async function* () {
      for (let n = 0; n < 40; n += 1) yield Buffer.alloc(${MIB}, n);
      console.log('half');
      await new Promise((resolve) => setTimeout(resolve, 1e6));
    })();
    await store.write(half, { maxBytes: 1e9 });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface(child.stdout)) {
      if (line === 'half') child.kill('SIGKILL');
    }
    // What is left of it, and what other crashes may leave.
    const s3 = client(running);
    const at = { Bucket: bucket, Key: 'some/folder/incoming/left' };
    await s3.send(new PutObjectCommand({ ...at, Body: 'half' }));
    await s3.send(new CreateMultipartUploadCommand(at));
    s3.destroy();
    t.deepEqual(await store.list('', 10), []);
    t.true((await remains(running, bucket)).length >= 2);
    await (await openS3Blobs(url, { credentials })).close();
    t.true((await remains(running, bucket)).length >= 2, 'it may still be written');
    const dateMs = (): number => Date.now() + DAY_MS + 60_000;
    await (await openS3Blobs(url, { credentials, dateMs })).close();
    t.deepEqual(await remains(running, bucket), []);
  },
);

withServer(
  'a service that goes is UNAVAILABLE, and used again once it is back',
  async (t, running) => {
    const { store, url } = await opened(t, running);
    const { credentials } = running;
    const { sha256 } = await store.write(content(MIB), { maxBytes: MIB });
    await running.stop();
    const error = await t.throwsAsync(store.stat(sha256), unavailable);
    t.regex(error?.message ?? '', /s3:\/\/torus-test-\d+\/some\/folder .*nothing listens there/);
    await t.throwsAsync(Array.fromAsync(store.read(sha256)), unavailable);
    await t.throwsAsync(store.write(content(MIB), { maxBytes: MIB }), unavailable);
    await t.throwsAsync(openS3Blobs(url, { credentials }), unavailable);
    const early = await openS3Blobs(url, { credentials, mayBeAway: true });
    t.teardown(() => early.close());
    await t.throwsAsync(early.list('', 10), unavailable);
    await running.start();
    for (const one of [store, early]) t.like(await one.stat(sha256), { sizeBytes: MIB });
  },
);

withServer('a service that falls silent is UNAVAILABLE within a bound', async (t, running) => {
  const proxy = await tcpProxy(running.port);
  t.teardown(() => proxy.end());
  const { store: direct, url } = await opened(t, running);
  // More than the buffers on the way hold.
  const { sha256 } = await direct.write(content(32 * MIB), { maxBytes: 32 * MIB });
  const store = await openS3Blobs(url.replace(String(running.port), String(proxy.port)), {
    credentials: running.credentials,
    connectTimeoutMs: 300,
    idleTimeoutMs: 300,
    mayBeAway: true,
  });
  t.teardown(() => store.close());
  const reading = await begun(store, sha256);
  proxy.silence();
  const rest = async (): Promise<void> => {
    while (!(await reading.next()).done);
  };
  await t.throwsAsync(rest(), unavailable);
  await t.throwsAsync(store.stat(sha256), unavailable);
  proxy.restore();
  await untilTrue('it answers again', async () => (await store.stat(sha256)) !== undefined);
});

withServer('a blob arrives whole over a network that is cut', async (t, running) => {
  const { url } = await place(running);
  const { credentials, port } = running;
  const open = (at: number) => openS3Blobs(url.replace(String(port), String(at)), { credentials });
  await survivesCuts(t, { port, open });
});

withServer(
  'keys that are wrong and buckets that are not there are told apart',
  async (t, running) => {
    const { url } = await place(running);
    const credentials = { ...running.credentials, secretAccessKey: 'hidden-word' };
    const denied = await t.throwsAsync(openS3Blobs(url, { credentials }), {
      instanceOf: StatusError,
    });
    t.true([Code.PERMISSION_DENIED, Code.UNAUTHENTICATED].some((code) => code === denied?.code));
    t.notRegex(JSON.stringify([denied?.message, denied?.cause]), /hidden-word/);
    const absent = url.replace(/torus-test-\d+/, 'torus-absent');
    const options = { credentials: running.credentials };
    const missing = await t.throwsAsync(openS3Blobs(absent, options), { instanceOf: StatusError });
    t.is(missing?.code, Code.FAILED_PRECONDITION);
    t.regex(missing?.message ?? '', /bucket is not there/);
  },
);
