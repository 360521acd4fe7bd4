// ONNX Runtime's complaints as callers may read them: one line, without this machine's folders.
import { basename, dirname } from 'node:path';
import { type Code, StatusError } from '../../../common/status.ts';

/** Why a batch failed. */
export function runProblem(code: Code, message: string, modelPath: string): StatusError {
  return new StatusError(code, `${basename(modelPath)} failed to run: ${plain(message)}`);
}

/** Why a file is not loaded. */
export function loadProblem(message: string, modelPath: string): string {
  const folder = dirname(modelPath);
  const text = plain(message)
    .replaceAll(`${folder}/`, '')
    .replaceAll(folder, '.')
    .replaceAll(/"\/[^"]*"/g, '"(outside)"');
  const type = /^Unsupported data type: (\d+)$/.exec(text)?.[1];
  if (type === undefined) return `${basename(modelPath)} can not be loaded: ${text}`;
  const name = type === '16' ? 'BF16' : `of ONNX element type ${type}`;
  return (
    `${basename(modelPath)} has inputs or outputs ${name}, which ONNX Runtime's binding for Node ` +
    'does not carry: cast them to FP32 inside the model'
  );
}

/** One line: where the runtime's own source says it is helps nobody here. */
function plain(message: string): string {
  return message.replaceAll(/\s+/g, ' ').trim();
}
