// What kind of model a set of files is, by their content and shape, names being hints only. ONNX is
// served; every other kind is refused by its name with what to do about it.

import { posix } from 'node:path';
import type { MODEL_FORMATS } from '../../catalog/documents.ts';
import { shownName } from '../../common/names.ts';
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import { FOREIGN_FORMATS, type ForeignFormat, type LookedAt } from './foreign-formats.ts';
import { CONFIG_FILE, type ModelFile } from './model-file.ts';
import { entryNames, isZip } from './zip-names.ts';

export type ModelFormat = (typeof MODEL_FORMATS)[number];

/** What is read of a file to know it. */
export const HEAD_BYTES = 64 * 1024;
/** Files whose content is looked at when no name tells; a model of more files is known by these. */
export const MAX_LOOKED_AT_FILES = 64;

/**
 * The path of the ONNX model among the files.
 * @param filename config.pbtxt's default_model_filename, '' when it states none.
 * @param stated the format that the uploader told; undefined: whatever it is.
 * @throws UNIMPLEMENTED for a model of another format, with what to do; INVALID_ARGUMENT when it is
 * none, or it is not clear which.
 */
export async function recogniseModel(
  files: readonly ModelFile[],
  filename: string,
  stated: ModelFormat | undefined,
): Promise<string> {
  const modelFiles = files.filter((file) => file.path !== CONFIG_FILE);
  if (modelFiles.length === 0) throw invalidArgument('no model file was given, only config.pbtxt');
  const named = namedModel(modelFiles, filename);
  const looked: LookedAt[] = [];
  for (const file of named ?? modelFiles.slice(0, MAX_LOOKED_AT_FILES)) {
    looked.push(await lookAt(file));
  }
  const pointer = looked.find(({ head }) => startsWith(head, 'version https://git-lfs'));
  if (pointer !== undefined) {
    throw invalidArgument(
      `'${pointer.path}' is a Git LFS pointer, not the file itself: run git lfs pull`,
    );
  }
  const onnx = looked.filter(({ path, head }) => isOnnxName(path) || looksLikeOnnx(head));
  // A file that is named as ONNX but is another format is told as that.
  const foreign = foreignFormat(looked.filter(({ head }) => !looksLikeOnnx(head)));
  if (foreign !== undefined && !onnx.some(({ head }) => looksLikeOnnx(head)))
    throw refusal(foreign);
  if (stated !== undefined && stated !== 'onnx') {
    const found = onnx.length > 0 ? `an ONNX model ('${onnx[0]?.path}')` : 'nothing known';
    throw invalidArgument(`format '${stated}' was told, but the files hold ${found}`);
  }
  const path = onnx.length === 1 ? onnx[0]?.path : mainOf(onnx)?.path;
  if (path !== undefined) return path;
  if (onnx.length === 0) throw unknown(modelFiles);
  throw invalidArgument(
    `there are ${onnx.length} ONNX models (${list(onnx)}): give one, or name it in config.pbtxt ` +
      'as default_model_filename',
  );
}

/** The files that a name points at: the one that config.pbtxt states, or those named *.onnx. */
function namedModel(files: readonly ModelFile[], filename: string): ModelFile[] | undefined {
  if (filename === '') {
    const onnx = files.filter(({ path }) => isOnnxName(path));
    return onnx.length === 0 ? undefined : onnx.slice(0, MAX_LOOKED_AT_FILES);
  }
  const exact = files.filter(({ path }) => path === filename);
  const found =
    exact.length > 0 ? exact : files.filter(({ path }) => path.endsWith(`/${filename}`));
  if (found.length === 1) return found;
  const what = found.length === 0 ? 'is not among the files' : 'is there more than once';
  throw invalidArgument(
    `config.pbtxt names '${shownName(filename)}' as the model, which ${what}: ${list(files)}`,
  );
}

function mainOf(onnx: readonly LookedAt[]): LookedAt | undefined {
  const main = onnx.filter(({ path }) => posix.basename(path) === 'model.onnx');
  return main.length === 1 ? main[0] : undefined;
}

function isOnnxName(path: string): boolean {
  return path.toLowerCase().endsWith('.onnx');
}

async function lookAt(file: ModelFile): Promise<LookedAt> {
  const head = await file.read(0, HEAD_BYTES);
  const entries = isZip(head) ? await entryNames(file) : [];
  return { path: file.path, head, entries };
}

function foreignFormat(looked: readonly LookedAt[]): [ForeignFormat, LookedAt] | undefined {
  for (const format of FOREIGN_FORMATS) {
    const match = looked.find((file) => format.matches(file));
    if (match !== undefined) return [format, match];
  }
  return undefined;
}

function refusal([format, { path }]: [ForeignFormat, LookedAt]): StatusError {
  return new StatusError(
    Code.UNIMPLEMENTED,
    `'${path}' is ${format.title}. Only ONNX models are served: ${format.advice}`,
  );
}

function unknown(files: readonly ModelFile[]): StatusError {
  return invalidArgument(
    `no model was recognised among ${list(files)}: give an ONNX file (model.onnx), with its data ` +
      'files beside it if it has any',
  );
}

function list(files: readonly { readonly path: string }[]): string {
  const shown = files.slice(0, 5).map(({ path }) => `'${shownName(path)}'`);
  return shown.join(', ') + (files.length > 5 ? `, and ${files.length - 5} more` : '');
}

export function startsWith(head: Uint8Array, text: string): boolean {
  return Buffer.from(head.buffer, head.byteOffset, head.length).indexOf(text, 0, 'latin1') === 0;
}

/**
 * Whether bytes start as writers of ONNX start: ir_version (field 1, a small number), then fields
 * of ModelProto up to its graph (field 7). Other protobuf files have other fields there.
 */
export function looksLikeOnnx(head: Uint8Array): boolean {
  const [tag, version = 0] = head;
  if (tag !== 0x08 || version < 1 || version > 99) return false;
  for (let at = 2; at < head.length; ) {
    const field = (head[at] ?? 0) >> 3;
    const wireType = (head[at] ?? 0) & 7;
    if (field === 7) return wireType === 2;
    const length = varint(head, at + 1);
    if (length === undefined) return false;
    // model_version is a number; producer, domain, documentation, opsets and metadata have a
    // length.
    if (field === 5 && wireType === 0) at = length.end;
    else if ([2, 3, 4, 6, 8, 14].includes(field) && wireType === 2) at = length.end + length.value;
    else return false;
  }
  return false;
}

function varint(bytes: Uint8Array, start: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let at = start; at < Math.min(bytes.length, start + 5); at++) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * (at - start));
    if (byte < 0x80) return { value, end: at + 1 };
  }
  return undefined;
}
