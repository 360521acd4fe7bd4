import test from 'ava';
import { startedGateway } from './testing/started.ts';

type Node = Readonly<Record<string, unknown>>;

interface Operation {
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses?: Node;
}

interface Document {
  readonly openapi: string;
  readonly info: Node;
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Node };
}

async function load(): Promise<Document> {
  const gateway = await startedGateway();
  const { json } = await gateway.get('/openapi.json');
  await gateway.stop();
  return json as unknown as Document;
}

function* nodes(value: unknown): Generator<Node> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Node;
  for (const one of Object.values(value)) yield* nodes(one);
}

/** Every route of the contract with those who call it. */
const ROUTES = [
  'GET /',
  'GET /openapi.json',
  'GET /v2',
  'GET /v2/health/live',
  'GET /v2/health/ready',
  'GET /v2/models/stats',
  ...['', '/versions/{version}'].flatMap((version) => [
    ...['', '/ready', '/config', '/stats'].map((what) => `GET /v2/models/{model}${version}${what}`),
    `POST /v2/models/{model}${version}/infer`,
  ]),
  'POST /v2/repository/index',
  'POST /v2/repository/models/{model}/load',
  'POST /v2/repository/models/{model}/unload',
  'POST /api/v1/blobs',
  ...['datasets/{dataset}', 'models/{model}'].flatMap((one) => [
    `GET /api/v1/${one.split('/')[0]}`,
    `POST /api/v1/${one.split('/')[0]}`,
    `GET /api/v1/${one}`,
    `DELETE /api/v1/${one}`,
    `GET /api/v1/${one}/versions`,
    `GET /api/v1/${one}/versions/{version}`,
  ]),
  'GET /api/v1/datasets/{dataset}/versions/{version}/rejected',
  'POST /api/v1/datasets/{dataset}/import',
  'POST /api/v1/datasets/{dataset}/seal',
  'PATCH /api/v1/models/{model}',
  'POST /api/v1/models/{model}/versions',
  'DELETE /api/v1/models/{model}/versions/{version}',
  'GET /api/v1/jobs',
  'POST /api/v1/jobs',
  'GET /api/v1/jobs/{job}',
  'POST /api/v1/jobs/{job}/cancel',
  'GET /api/v1/jobs/{job}/watch',
  'GET /api/v1/cluster',
];

test('the document has every route of the contract, and no other', async (t) => {
  const { paths } = await load();
  const found = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  t.deepEqual(found.toSorted(), ROUTES.toSorted());
});

test('every operation says what it is, what its path takes, and how it answers', async (t) => {
  const { openapi, paths, tags } = await load();
  t.regex(openapi, /^3\.0\./);
  const known = tags.map(({ name }) => name);
  for (const [path, operations] of Object.entries(paths)) {
    const wanted = [...path.matchAll(/\{(\w+)\}/g)].map((one) => one[1]);
    for (const [method, operation] of Object.entries(operations)) {
      const label = `${method} ${path}`;
      t.true((operation.summary ?? '') !== '', label);
      t.true(
        (operation.tags ?? []).every((tag) => known.includes(tag)),
        label,
      );
      t.is(operation.tags?.length, 1, label);
      const inPath = (operation.parameters ?? []).filter((one) => one.in === 'path');
      t.deepEqual(
        inPath.map((one) => one.name),
        wanted,
        label,
      );
      const statuses = Object.keys(operation.responses ?? {});
      t.true(
        statuses.some((status) => /^2\d\d$/.test(status)),
        label,
      );
      t.true(statuses.includes('4XX') && statuses.includes('5XX'), label);
    }
  }
});

test('every reference of the document leads somewhere in it', async (t) => {
  const document = await load();
  const { schemas } = document.components;
  let references = 0;
  for (const { $ref } of nodes(document)) {
    if (typeof $ref !== 'string') continue;
    references += 1;
    t.regex($ref, /^#\/components\/schemas\//);
    t.true(Object.hasOwn(schemas, $ref.split('/').at(-1) ?? ''), $ref);
  }
  t.true(references > 50);
  t.like(schemas.Job, { type: 'object' });
});
