// Checks a model in a child process: whatever the file does there (crash, hang, take all memory),
// only the child ends, and the reason comes back as an error.
import { type ChildProcess, fork } from 'node:child_process';
import { invalidArgument, StatusError } from '../../common/status.ts';
import type { Inspection, InspectRequest } from './inspect.ts';
import { OUT_OF_MEMORY_LINE } from './memory-watch.ts';
import type { ChildAnswer, ChildRequest } from './verify-child.ts';

/** Loading and trial runs together; after it the child is killed and the model refused. */
export const DEFAULT_VERIFY_TIMEOUT_MS = 120_000;
/** Memory of the child: this and so many times the model's files; past it, as past the time. */
export const VERIFY_MEMORY_BYTES = 1024 ** 3;
export const VERIFY_MEMORY_PER_BYTE = 6;

const MAX_STDERR_CHARACTERS = 4_096;
const CHILD = new URL('./verify-child.ts', import.meta.url);

export interface VerifyOptions extends InspectRequest {
  /** Size of all the model's files. */
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
  /** Default DEFAULT_VERIFY_TIMEOUT_MS. */
  readonly timeoutMs?: number;
  /** Default as the constants above say. */
  readonly maxMemoryBytes?: number;
}

/**
 * @throws INVALID_ARGUMENT or UNIMPLEMENTED with the reason why the model can't be served; what the
 * signal was aborted with.
 */
export async function verifyModel(options: VerifyOptions): Promise<Inspection> {
  const { model, modelPath, configPbtxt, sizeBytes, signal } = options;
  signal.throwIfAborted();
  const timeoutMs = options.timeoutMs ?? DEFAULT_VERIFY_TIMEOUT_MS;
  const maxMemoryBytes =
    options.maxMemoryBytes ?? VERIFY_MEMORY_BYTES + VERIFY_MEMORY_PER_BYTE * sizeBytes;
  // Nothing of this process's environment: it may hold secrets, and the child reads foreign files.
  const child = fork(CHILD, [], {
    env: {},
    execArgv: ['--no-warnings'],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // A Ctrl-C goes to the whole process group of a terminal; when this one stops is ours to say.
    detached: true,
  });
  try {
    const request: ChildRequest = { model, modelPath, configPbtxt, maxMemoryBytes };
    const answer = await exchange(child, request, { signal, timeoutMs, maxMemoryBytes });
    if ('inspection' in answer) return answer.inspection;
    throw new StatusError(answer.error.code, answer.error.message);
  } finally {
    child.kill('SIGKILL');
  }
}

interface Bounds {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly maxMemoryBytes: number;
}

function exchange(
  child: ChildProcess,
  request: ChildRequest,
  bounds: Bounds,
): Promise<ChildAnswer> {
  const { signal, timeoutMs, maxMemoryBytes } = bounds;
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-MAX_STDERR_CHARACTERS);
  });
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    const timer = setTimeout(() => {
      reject(invalidArgument(`the model was not loaded and run within ${timeoutMs} ms`));
    }, timeoutMs);
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    };
    signal.addEventListener('abort', abort, { once: true });
    child.once('message', (answer) => {
      settle();
      resolve(answer as ChildAnswer);
    });
    child.once('error', (error) => {
      settle();
      reject(error);
    });
    // 'close' comes after stderr has ended.
    child.once('close', (code, deadBy) => {
      settle();
      reject(deathOf(code, deadBy, stderr, maxMemoryBytes));
    });
    child.send(request, (error) => {
      // The child died before it was told: 'close' says how.
      if (error !== null) child.kill('SIGKILL');
    });
  });
}

function deathOf(
  code: number | null,
  deadBy: string | null,
  stderr: string,
  maxMemoryBytes: number,
): StatusError {
  if (stderr.includes(OUT_OF_MEMORY_LINE)) {
    return invalidArgument(`loading and running the model takes more than ${maxMemoryBytes} bytes`);
  }
  const how = deadBy === null ? `ended with code ${code}` : `was ended by ${deadBy}`;
  const lastLine = stderr.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  const tail = lastLine === '' ? '' : ` (${lastLine})`;
  return invalidArgument(`the process that loaded and ran the model ${how}${tail}`);
}
