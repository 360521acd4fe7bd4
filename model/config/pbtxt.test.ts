import { fromJson, type JsonValue, ScalarType, toBinary } from '@bufbuild/protobuf';
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import {
  DataType,
  ModelConfig,
  ModelInstanceGroup_Kind,
} from '../../proto/gen/inference/model_config.ts';
import { parseConfig } from './pbtxt.ts';
import { encodeText, MAX_TEXT_CHARACTERS, MAX_TEXT_DEPTH } from './text-format.ts';
import {
  type FieldShape,
  type MessageShape,
  messageDescriptor,
  messageShape,
} from './text-schema.ts';

const EXAMPLE = `
# A config as Triton's users write them.
name: "resnet"   platform: 'onnxruntime_onnx'
max_batch_size: 8
input [
  { name: "data", data_type: TYPE_FP32; format: FORMAT_NCHW, dims: [ 3, 224, 0xE0 ] },
  { name: "mask" data_type: 1 dims: -1 dims: - 1 optional: true reshape { shape: [ ] } }
]
output: < name: "prob" data_type: TYPE_STRING dims: [ 010 ] label_filename: "labels.txt" >
instance_group [ { count: 2 kind: KIND_CPU } ]
version_policy: { specific { versions: [1, 9007199254740993] } }
dynamic_batching {
  preferred_batch_size: [4, 8]
  max_queue_delay_microseconds: 100
  priority_queue_policy { key: 7 value: { max_queue_size: 10 timeout_action: DELAY } }
}
parameters { key: "torus_min_copies" value: { string_value: "2" } }
parameters: [ { key: "joined" value { string_value: "a\\t\\x41" 'b\\"' # in between
  "\\303\\251\\u00e9\\U0001F600" } } ]
model_metrics { metric_control { histogram_options { buckets: [ 1, .5, 2.5e3, 1f, -inf ] } } };
`;

test('a config with every way to write things', (t) => {
  const config = parseConfig(EXAMPLE);
  t.is(config.name, 'resnet');
  t.is(config.platform, 'onnxruntime_onnx');
  t.is(config.maxBatchSize, 8);
  t.deepEqual(config.input[0]?.dims, [3n, 224n, 224n]);
  t.is(config.input[0]?.dataType, DataType.TYPE_FP32);
  t.like(config.input[1], { name: 'mask', dataType: DataType.TYPE_BOOL, optional: true });
  t.deepEqual(config.input[1]?.dims, [-1n, -1n]);
  t.deepEqual(config.input[1]?.reshape, { shape: [] });
  t.deepEqual(config.output[0]?.dims, [8n]);
  t.like(config.instanceGroup[0], { count: 2, kind: ModelInstanceGroup_Kind.KIND_CPU });
  t.deepEqual(config.versionPolicy?.policyChoice, {
    $case: 'specific',
    specific: { versions: [1n, 9007199254740993n] },
  });
  const scheduling = config.schedulingChoice;
  t.is(scheduling?.$case, 'dynamicBatching');
  if (scheduling?.$case !== 'dynamicBatching') return;
  t.deepEqual(scheduling.dynamicBatching.preferredBatchSize, [4, 8]);
  t.is(scheduling.dynamicBatching.maxQueueDelayMicroseconds, 100n);
  t.is(scheduling.dynamicBatching.priorityQueuePolicy.get(7n)?.maxQueueSize, 10);
  t.is(config.parameters.get('torus_min_copies')?.stringValue, '2');
  t.is(config.parameters.get('joined')?.stringValue, 'a\tAb"éé😀');
  const options = config.modelMetrics?.metricControl[0]?.metricOptions;
  t.deepEqual(options?.histogramOptions.buckets, [1, 0.5, 2500, 1, Number.NEGATIVE_INFINITY]);
});

test('what is wrong is told with its place and what would be right', (t) => {
  const cases: [string, string][] = [
    ['max_batch: 3', "line 1, column 1: ModelConfig has no field 'max_batch', only: name,"],
    ['\n  name "x"', "line 2, column 8: expected ':' after 'name', found the string \"x\""],
    ['name: x', "line 1, column 7: expected a string for 'name', found 'x'"],
    ['name: "a\n"', 'line 1, column 7: a string does not end on its line'],
    ['name: "\\q"', 'line 1, column 7: the string has an unknown \\ escape'],
    ['name: "\\400"', 'unknown \\ escape'],
    ['name: "\\ud800"', 'unknown \\ escape'],
    ['name: "\\xff"', "the string for 'name' is not valid UTF-8"],
    ['name: "a" name: "b"', "line 1, column 11: 'name' is given twice"],
    ['name: ["a"]', "'name' takes one value, not a list"],
    ['max_batch_size: 2147483648', "'max_batch_size' must be -2147483648 to 2147483647"],
    ['max_batch_size: 1.5', "expected an integer for 'max_batch_size', found '1.5'"],
    ['max_batch_size: 08', "expected an integer for 'max_batch_size', found '08'"],
    ['max_batch_size: 8x', '8x... is no number'],
    ['max_batch_size: "8"', "expected an integer for 'max_batch_size', found the string"],
    ['input { data_type: TYPE_FLOAT }', "'TYPE_FLOAT' is no DataType, which are: TYPE_INVALID"],
    ['input { data_type: 99 }', '99 is no DataType'],
    ['input { dims: [1 2] }', "expected ',' or ']', found '2'"],
    ['input { dims: 1', "expected a field name or '}', found the end"],
    ['input: 3', "expected '{' for 'input', found '3'"],
    ['input {]', "expected a field name or '}', found ']'"],
    ['response_cache { enable: yes }', "expected true or false for 'enable', found 'yes'"],
    ['dynamic_batching {} sequence_batching {}', "beside 'dynamic_batching', of which only one"],
    ['[type.googleapis.com/x] {}', "expected a field name, found '['"],
    ['name: "a" }', "expected a field name, found '}'"],
    ['name: "a" $', '"$" means nothing here'],
    ['model_metrics{metric_control{histogram_options{buckets:0x1}}}', 'expected a number'],
  ];
  for (const [text, message] of cases) {
    const error = t.throws(() => parseConfig(text), { instanceOf: StatusError }, text);
    t.is(error.code, Code.INVALID_ARGUMENT);
    t.true(error.message.startsWith('config.pbtxt, line '), error.message);
    t.true(error.message.includes(message), `${text}: ${error.message}`);
  }
});

test('size and depth have limits; the longest string allowed is no trouble', (t) => {
  const long = `name: "${'x'.repeat(MAX_TEXT_CHARACTERS - 8)}"`;
  t.is(parseConfig(long).name.length, MAX_TEXT_CHARACTERS - 8);
  t.is(parseConfig('#'.repeat(MAX_TEXT_CHARACTERS)).name, '');
  t.throws(() => parseConfig(`${long} `), { message: /at most 1048576/ });
  const node: MessageShape = {
    name: 'Node',
    fields: new Map([
      [
        'child',
        {
          name: 'child',
          number: 1,
          isRepeated: false,
          oneof: '',
          type: { kind: 'message', message: () => node },
        },
      ],
    ]),
  };
  const nested = (depth: number) => 'child {'.repeat(depth) + '}'.repeat(depth);
  t.notThrows(() => encodeText(nested(MAX_TEXT_DEPTH), node, 'nested'));
  t.throws(() => encodeText(nested(MAX_TEXT_DEPTH + 1), node, 'nested'), {
    message: `nested, line 1, column 231: messages nest more than ${MAX_TEXT_DEPTH} deep`,
  });
  t.throws(() => encodeText('child {'.repeat(100_000), node, 'nested'), { message: /more than/ });
});

/** Any JSON that this message can have, three messages deep. */
function jsonOf(shape: MessageShape, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const choices = new Map<string, FieldShape[]>();
  for (const field of shape.fields.values()) {
    if (field.type.kind === 'message' && depth === 0) continue;
    const slot = field.oneof === '' ? field.name : `oneof ${field.oneof}`;
    choices.set(slot, [...(choices.get(slot) ?? []), field]);
  }
  const slots = [...choices.values()].map((fields) =>
    fc.option(
      fc.oneof(
        ...fields.map((field) => jsonField(field, depth).map((value) => [field.name, value])),
      ),
      { freq: 2 },
    ),
  );
  return fc
    .tuple(...slots)
    .map((entries) => Object.fromEntries(entries.filter((entry) => entry !== null)));
}

function isMap(field: FieldShape): boolean {
  return field.type.kind === 'message' && field.type.message().name.endsWith(' entry');
}

function jsonField(field: FieldShape, depth: number): fc.Arbitrary<unknown> {
  if (!isMap(field)) {
    const one = jsonValue(field, depth);
    return field.isRepeated ? fc.array(one, { maxLength: 3 }) : one;
  }
  const entry = field.type.kind === 'message' ? field.type.message().fields : new Map();
  const [key, value] = [entry.get('key'), entry.get('value')];
  const pair = fc.tuple(jsonValue(key, 0).map(String), jsonValue(value, depth - 1));
  return fc.array(pair, { maxLength: 3 }).map((pairs) => Object.fromEntries(pairs));
}

function jsonValue(field: FieldShape, depth: number): fc.Arbitrary<unknown> {
  const { type } = field;
  if (type.kind === 'message') return jsonOf(type.message(), depth - 1);
  if (type.kind === 'enum') return fc.constantFrom(...type.values.keys());
  switch (type.scalar) {
    case ScalarType.STRING:
      return fc.string({ unit: 'grapheme', maxLength: 12 });
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.INT32:
      return fc.integer();
    case ScalarType.UINT32:
      return fc.nat();
    case ScalarType.INT64:
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
    case ScalarType.UINT64:
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
    default:
      return fc.float({ noNaN: true, noDefaultInfinity: true });
  }
}

/** The same JSON as text format; `style` picks among the ways to write a thing. */
function print(shape: MessageShape, value: Record<string, unknown>, style: number): string {
  const pad = ['\n', ' ', ' # note { " \n\t', '; '][style % 4] ?? ' ';
  const lines: string[] = [];
  for (const [name, content] of Object.entries(value)) {
    const field = shape.fields.get(name);
    if (field === undefined) throw new Error(`no field ${name}`);
    const entries = isMap(field)
      ? Object.entries(content as object).map(([key, value]) => ({ key, value }))
      : content;
    if (!Array.isArray(entries)) lines.push(`${name}:${printValue(field, entries, style)}`);
    else if (style % 2 === 0) {
      const items = entries.map((entry) => printValue(field, entry, style + 1));
      lines.push(`${name} : [${items.join(', ')}]`);
    } else
      for (const entry of entries) lines.push(`${name} :${printValue(field, entry, style + 1)}`);
  }
  return lines.join(pad === '; ' ? '; ' : pad);
}

function printValue(field: FieldShape, value: unknown, style: number): string {
  const { type } = field;
  if (type.kind === 'message') {
    const inner = print(type.message(), value as Record<string, unknown>, style + 1);
    return style % 3 === 0 ? `<${inner}\n>` : ` {${inner}\n}`;
  }
  if (type.kind === 'enum') return String(style % 2 ? value : type.values.get(String(value)));
  if (type.scalar !== ScalarType.STRING) return String(value);
  const bytes = Buffer.from(String(value));
  if (style % 2)
    return `"${Array.from(bytes, (byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')}"`;
  const escaped = String(value).replace(
    /[\\'\n\0]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `'${escaped}' ""`;
}

/** The same config as protobuf's own reader of JSON has it. */
function fromOtherReader(json: Record<string, unknown>): ModelConfig {
  const descriptor = messageDescriptor('inference.ModelConfig');
  const message = fromJson(descriptor, JSON.parse(JSON.stringify(json)) as JsonValue);
  return ModelConfig.decode(toBinary(descriptor, message));
}

test('any config reads the same from text format and from JSON', (t) => {
  const shape = messageShape('inference.ModelConfig');
  const property = fc.property(jsonOf(shape, 3), fc.nat(100), (json, style) => {
    const fromText = parseConfig(print(shape, json, style));
    t.deepEqual(fromText, fromOtherReader(json));
  });
  fc.assert(property, { numRuns: 150 });
});

function onlyStatusErrors(text: string): boolean {
  try {
    ModelConfig.encode(parseConfig(text)).finish();
    return true;
  } catch (error) {
    return error instanceof StatusError && error.code === Code.INVALID_ARGUMENT;
  }
}

test('random and mutated text is only ever INVALID_ARGUMENT', (t) => {
  const words = fc.constantFrom(
    ...['input', 'name', ':', '{', '}', '[', ']', '<', '>', ',', ';', '-', '"a"', "'", '"', '\\'],
    ...['#', '\n', '1', '0x', '1e9', '.', 'TYPE_FP32', 'data_type', 'dims', 'parameters', 'key'],
  );
  const soup = fc.array(fc.oneof(words, fc.string({ unit: 'binary', maxLength: 3 })));
  fc.assert(
    fc.property(
      soup.map((parts) => parts.join(' ')),
      onlyStatusErrors,
    ),
    { numRuns: 1_000 },
  );
  fc.assert(
    fc.property(
      soup.map((parts) => parts.join('')),
      onlyStatusErrors,
    ),
    { numRuns: 1_000 },
  );
  const edit = fc.tuple(fc.nat(EXAMPLE.length), fc.nat(8), fc.oneof(words, fc.string()));
  const mutated = fc
    .array(edit, { maxLength: 3 })
    .map((edits) =>
      edits.reduce(
        (text, [at, cut, word]) => text.slice(0, at) + word + text.slice(at + cut),
        EXAMPLE,
      ),
    );
  fc.assert(fc.property(mutated, onlyStatusErrors), { numRuns: 1_000 });
  t.pass();
});
