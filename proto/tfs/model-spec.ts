// The ModelSpec of TensorFlow Serving's requests: which model, version and signature they are for.
// Read out of the bytes as protobuf merges: of a field that comes twice the last counts, also when
// the whole ModelSpec comes twice. Field numbers: proto/tensorflow_serving/apis/model.proto.
import { invalidArgument } from '../../common/status.ts';
import { MAX_NAME_BYTES } from '../limits.ts';
import { TextReader } from '../text.ts';
import { malformed, WireReader } from '../wire.ts';

export interface ModelSpecFields {
  readonly name: string;
  /** Decimal; '': none is named. */
  readonly version: string;
  /** '': none; never beside a version. */
  readonly label: string;
  readonly signature: string;
}

const EMPTY: ModelSpecFields = { name: '', version: '', label: '', signature: '' };

const NAME_TAG = 0x0a;
const VERSION_TAG = 0x12;
const SIGNATURE_TAG = 0x1a;
const LABEL_TAG = 0x22;
/** Of an Int64Value. */
const VALUE_TAG = 0x08;
/** Of an InferenceTask, whose other field is its method's name. */
const TASK_SPEC_TAG = 0x0a;

const texts = new TextReader();

/**
 * What is known after one more ModelSpec, bytes[start, end).
 * @throws INVALID_ARGUMENT for what is no such message
 */
export function readModelSpec(
  known: ModelSpecFields | undefined,
  bytes: Buffer,
  start: number,
  end: number,
): ModelSpecFields {
  const reader = new WireReader(bytes, start, end);
  let { name, version, label, signature } = known ?? EMPTY;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === NAME_TAG) name = text(reader);
    else if (tag === VERSION_TAG) {
      version = int64Value(reader, version);
      label = '';
    } else if (tag === LABEL_TAG) {
      label = text(reader);
      version = '';
    } else if (tag === SIGNATURE_TAG) signature = text(reader);
    else reader.skip(tag);
  }
  return { name, version, label, signature };
}

/**
 * As readModelSpec, of one more InferenceTask: all tasks of a request are for the model of the
 * first. @throws INVALID_ARGUMENT also when they are not
 */
export function readTaskSpec(
  known: ModelSpecFields | undefined,
  bytes: Buffer,
  start: number,
  end: number,
): ModelSpecFields {
  const reader = new WireReader(bytes, start, end);
  let spec: ModelSpecFields | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== TASK_SPEC_TAG) {
      reader.skip(tag);
      continue;
    }
    const length = reader.length();
    const specStart = reader.position;
    reader.position = specStart + length;
    spec = readModelSpec(spec, bytes, specStart, reader.position);
  }
  const name = spec?.name ?? '';
  if (name === '') throw invalidArgument('Found ModelSpec with an empty model name.');
  if (known !== undefined && known.name !== name) {
    throw invalidArgument(
      'All ModelSpecs in a MultiInferenceRequest must access the same model name.',
    );
  }
  return known ?? spec ?? EMPTY;
}

/** @throws INVALID_ARGUMENT, in TensorFlow Serving's words, when no model is named */
export function checkModelSpec(spec: ModelSpecFields | undefined): ModelSpecFields {
  if (spec === undefined) throw invalidArgument('Missing ModelSpec');
  if (spec.name === '') throw invalidArgument('ModelSpec has no name specified.');
  return spec;
}

function text(reader: WireReader): string {
  const start = reader.position;
  const length = reader.length();
  if (length > MAX_NAME_BYTES) {
    throw malformed(start, `a name in a ModelSpec has more than ${MAX_NAME_BYTES} bytes`);
  }
  reader.position += length;
  return texts.read(reader.bytes, reader.position - length, reader.position);
}

/** An Int64Value that comes again without a value leaves the one before, as merging does. */
function int64Value(reader: WireReader, known: string): string {
  const outerEnd = reader.enter();
  let value = known === '' ? '0' : known;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === VALUE_TAG) value = String(BigInt.asIntN(64, reader.uint64()));
    else reader.skip(tag);
  }
  reader.leave(outerEnd);
  return value;
}
