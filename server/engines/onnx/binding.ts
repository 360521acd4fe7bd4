// The one file that knows the inside of the package onnxruntime-node. Its public run() wraps the
// native one, which is synchronous, into a promise and a turn of the event loop: on the thread that
// serves, a third of a small call's latency, and a tenth of a batch's way through a worker. Here
// the native object is called itself, once a trial has shown that it does what the public API does;
// where its shape or its answers are others than expected (another version of the package), the
// public API is used, and `problem` says why.
import { createRequire } from 'node:module';
import type { Datatype } from '../../../common/tensor.ts';
import * as elements from '../../../model/onnx/elements.ts';
import { floats, GraphBuilder, int64s } from '../../../model/onnx/graph.ts';
import { datatypeOf, type OrtArray, type OrtType, ortTypeOf } from './element-types.ts';

/** A tensor as the runtime takes and gives it. */
export interface OrtValue {
  readonly type: OrtType;
  readonly location: 'cpu';
  readonly dims: readonly number[];
  readonly data: OrtArray | readonly string[];
}

export type OrtValues = Readonly<Record<string, OrtValue>>;

/** An input or an output, as the file declares it. */
export interface OrtValueInfo {
  readonly name: string;
  /** Else a sequence or a map. */
  readonly isTensor: boolean;
  readonly typeName: string;
  /** Undefined: none that a run can take or give. */
  readonly datatype: Datatype | undefined;
  /** -1: open. */
  readonly shape: readonly number[];
}

/** A model in memory. One run at a time. */
export interface OrtSession {
  readonly inputs: readonly OrtValueInfo[];
  readonly outputs: readonly OrtValueInfo[];
  /**
   * A run that blocks the thread until the outputs are there; undefined on the public path.
   * @throws Error with the runtime's reason, as `run` rejects
   */
  readonly runNow: ((feeds: OrtValues) => OrtValues) | undefined;
  run(feeds: OrtValues): Promise<OrtValues>;
  /** No run is in flight. */
  release(): Promise<void>;
}

export interface SessionSettings {
  readonly modelPath: string;
  readonly intraOpThreads: number;
  /** Those that a run gives. Default: all. */
  readonly outputNames?: readonly string[];
}

export interface Ort {
  readonly path: 'binding' | 'public';
  /** Why the path is public where the binding was wanted; '' else. */
  readonly problem: string;
  /** Blocks the thread while the model is loaded. Rejects with the runtime's reason. */
  open(settings: SessionSettings): Promise<OrtSession>;
}

type Package = typeof import('onnxruntime-node');
type ValueMetadata = import('onnxruntime-node').InferenceSession.ValueMetadata;
type Model = string | Uint8Array;

/** What the native object tells of an input or an output. */
interface NativeInfo {
  readonly name: string;
  readonly isTensor: boolean;
  /** ONNX's number of the element type; with the shape, of tensors only. */
  readonly type?: number;
  readonly shape?: readonly number[];
}

interface NativeSession {
  readonly inputMetadata?: readonly NativeInfo[];
  readonly outputMetadata?: readonly NativeInfo[];
  loadModel(path: string, options: object): void;
  loadModel(buffer: ArrayBufferLike, offset: number, sizeBytes: number, options: object): void;
  run(feeds: OrtValues, fetches: Readonly<Record<string, null>>): OrtValues;
  dispose(): void;
}

/** dist/binding.js of the package. */
interface NativeModule {
  readonly binding: { readonly InferenceSession: new () => NativeSession };
  initOrt(): void;
}

const FATAL_ONLY = 4;
const MEMBERS = ['loadModel', 'run', 'dispose'];

const require = createRequire(import.meta.url);
const made = new Map<string, Promise<Ort>>();

/** The runtime of this thread, tried once. */
export function ortOfThread(wanted: Ort['path'] = 'binding'): Promise<Ort> {
  const known = made.get(wanted) ?? (wanted === 'binding' ? triedOrt() : publicOrt(''));
  made.set(wanted, known);
  return known;
}

async function publicOrt(problem: string): Promise<Ort> {
  const ort = packageOfThread();
  return {
    path: 'public',
    problem,
    open: (settings) => openPublic(ort, settings.modelPath, settings),
  };
}

/** @param inside what the package has inside; given by tests */
export async function triedOrt(inside: () => unknown = insideOfPackage): Promise<Ort> {
  try {
    const ort = packageOfThread();
    const native = nativeModule(inside());
    await compare(ort, native);
    return {
      path: 'binding',
      problem: '',
      open: async (settings) => openNative(native, settings.modelPath, settings),
    };
  } catch (thrown) {
    return publicOrt(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/**
 * With Float16Array in sight the package would make FP16 tensors that its own native part can't
 * read (1.30 on Node 24): it looks when it makes its first tensor, so that is made without it.
 */
function packageOfThread(): Package {
  const ort = require('onnxruntime-node') as Package;
  const hidden = Object.getOwnPropertyDescriptor(globalThis, 'Float16Array');
  Reflect.deleteProperty(globalThis, 'Float16Array');
  new ort.Tensor('bool', Uint8Array.of(0), [1]);
  if (hidden !== undefined) Object.defineProperty(globalThis, 'Float16Array', hidden);
  return ort;
}

function insideOfPackage(): unknown {
  return require('onnxruntime-node/dist/binding.js');
}

function nativeModule(inside: unknown): NativeModule {
  const { binding, initOrt } = inside as Partial<NativeModule>;
  const session: unknown = binding?.InferenceSession;
  if (typeof session !== 'function' || typeof initOrt !== 'function') {
    throw new Error('the package onnxruntime-node has no InferenceSession or initOrt inside');
  }
  const prototype = session.prototype as Record<string, unknown>;
  const missing = MEMBERS.filter((name) => typeof prototype[name] !== 'function');
  if (missing.length > 0) throw new Error(`its InferenceSession lacks ${missing.join(', ')}`);
  return inside as NativeModule;
}

const optionsOf = ({ intraOpThreads }: Pick<SessionSettings, 'intraOpThreads'>) => ({
  intraOpNumThreads: intraOpThreads,
  interOpNumThreads: 1,
  logSeverityLevel: FATAL_ONLY as 4,
});

async function openPublic(
  ort: Package,
  model: Model,
  settings: Omit<SessionSettings, 'modelPath'>,
): Promise<OrtSession> {
  const session = await ort.InferenceSession.create(model as string, optionsOf(settings));
  return {
    inputs: session.inputMetadata.map(infoOf),
    outputs: session.outputMetadata.map(infoOf),
    runNow: undefined,
    // The package's own type wants its class; its code takes anything with these fields.
    run: async (feeds) =>
      (await session.run(feeds as unknown as Parameters<typeof session.run>[0], {
        logSeverityLevel: FATAL_ONLY,
      })) as unknown as OrtValues,
    release: () => session.release(),
  };
}

function infoOf(value: ValueMetadata): OrtValueInfo {
  const { name, isTensor } = value;
  if (!isTensor) return { name, isTensor, typeName: '', datatype: undefined, shape: [] };
  const shape = value.shape.map((dim) => (typeof dim === 'number' ? dim : -1));
  return { name, isTensor, typeName: value.type, datatype: datatypeOf(value.type), shape };
}

function nativeInfoOf({ name, isTensor, type = 0, shape = [] }: NativeInfo): OrtValueInfo {
  if (!isTensor) return { name, isTensor, typeName: '', datatype: undefined, shape: [] };
  const served = elements.datatypeOf(type);
  const ortType = served === undefined ? undefined : ortTypeOf(served);
  const typeName = ortType ?? served ?? elements.elementTypeName(type);
  const datatype = ortType === undefined ? undefined : served;
  return { name, isTensor, typeName, datatype, shape };
}

function openNative(
  { binding, initOrt }: NativeModule,
  model: Model,
  settings: Omit<SessionSettings, 'modelPath'>,
): OrtSession {
  initOrt();
  const session = new binding.InferenceSession();
  const options = optionsOf(settings);
  if (typeof model === 'string') session.loadModel(model, options);
  else session.loadModel(model.buffer, model.byteOffset, model.byteLength, options);
  const inputs = (session.inputMetadata ?? []).map(nativeInfoOf);
  const outputs = (session.outputMetadata ?? []).map(nativeInfoOf);
  const outputNames = settings.outputNames ?? outputs.map(({ name }) => name);
  const fetches = Object.fromEntries(outputNames.map((name) => [name, null]));
  // Options of a run would cost half a microsecond: it logs as its session does.
  const runNow = (feeds: OrtValues): OrtValues => session.run(feeds, fetches);
  const run = async (feeds: OrtValues): Promise<OrtValues> => runNow(feeds);
  return { inputs, outputs, runNow, run, release: async () => session.dispose() };
}

/** Both ways over a model of several element types; @throws where their answers differ. */
async function compare(ort: Package, native: NativeModule): Promise<void> {
  const { model, feeds, outputNames } = trial();
  const theirs = await openPublic(ort, model, { intraOpThreads: 1, outputNames });
  const ours = openNative(native, model, { intraOpThreads: 1, outputNames });
  try {
    const [expected, got] = [await theirs.run(feeds), ours.runNow?.(feeds)];
    for (const name of outputNames) {
      const [a, b] = [shown(expected[name]), shown(got?.[name])];
      if (a !== b) throw new Error(`its native run gives ${b} where its own API gives ${a}`);
    }
    const [told, ownTold] = [theirs, ours].map((one) => JSON.stringify([one.inputs, one.outputs]));
    if (told !== ownTold) throw new Error(`it tells of a model ${ownTold} in place of ${told}`);
  } finally {
    await theirs.release();
    await ours.release();
  }
}

function shown(value: OrtValue | undefined): string {
  if (value === undefined) return 'nothing';
  const data = Array.from(value.data as Iterable<unknown>, String);
  return `${value.type} [${value.dims.join(',')}] ${data.join(' ')}`;
}

function trial(): { model: Uint8Array; feeds: OrtValues; outputNames: readonly string[] } {
  const graph = new GraphBuilder('trial');
  const feeds: Record<string, OrtValue> = {};
  const outputNames: string[] = [];
  const value = (type: OrtType, data: OrtValue['data']): OrtValue => {
    return { type, location: 'cpu', dims: [2, 1], data };
  };
  for (const [datatype, sample] of [
    ['FP32', value('float32', Float32Array.of(1.5, -2))],
    ['FP16', value('float16', Uint16Array.of(0x3c00, 0xc000))],
    ['INT64', value('int64', BigInt64Array.of(-1n, 2n ** 40n))],
    ['BOOL', value('bool', Uint8Array.of(1, 0))],
    ['BYTES', value('string', ['é', ''])],
  ] as const) {
    feeds[`x_${datatype}`] = sample;
    graph.input(`x_${datatype}`, datatype, ['rows', 1]);
    graph.node('Identity', [`x_${datatype}`], { output: `y_${datatype}` });
    graph.output(`y_${datatype}`, datatype, ['rows', 1]);
    outputNames.push(`y_${datatype}`);
  }
  const wide = graph.node('Mul', ['x_FP32', graph.constant(floats([1, 2, 3], [1, 3]))]);
  graph.node('ReduceSum', [wide, graph.constant(int64s([1]))], { output: 'sums' });
  graph.output('sums', 'FP32', ['rows', 1]);
  return { model: graph.write(), feeds, outputNames: [...outputNames, 'sums'] };
}
