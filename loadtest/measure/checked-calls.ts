// Calls whose status and answer are looked at, before a round of calls that nobody looks at: a
// server that answers fast and wrong is no contender.
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { Code, codeName, StatusError } from '../../common/status.ts';
import { openLoadClient } from '../grpc-client.ts';

const IN_FLIGHT = 16;
const DEADLINE_MS = 20_000;
const SHOWN_BYTES = 64;

export interface CheckedCalls {
  readonly name: string;
  readonly port: number;
  readonly path: string;
  readonly message: Uint8Array;
  isRight(answer: Buffer): boolean;
  readonly calls: number;
  /** PEM of the certificate to trust, for a server with TLS. */
  readonly trusted?: Buffer;
}

function wrong(name: string, code: number, answer: Buffer | undefined): StatusError {
  const what =
    answer === undefined ? `ended with ${codeName(code)}` : `got a wrong answer: ${hex(answer)}`;
  return new StatusError(Code.INTERNAL, `${name}: a checked call ${what}`);
}

function hex(answer: Buffer): string {
  return `${answer.length} bytes, ${answer.subarray(0, SHOWN_BYTES).toString('hex')}`;
}

/** @throws INTERNAL at the first answer that is not OK, or not right. */
export async function runCheckedCalls(options: CheckedCalls): Promise<void> {
  const { name, port, path, message, calls, trusted } = options;
  const trust: ChannelCredentials | undefined =
    trusted === undefined ? undefined : credentials.createSsl(trusted);
  const client = openLoadClient({
    address: `127.0.0.1:${port}`,
    connections: 1,
    ...(trust && { credentials: trust, serverName: 'localhost' }),
  });
  let left = calls;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await new Promise<void>((resolve, reject) => {
        client.call(path, message, DEADLINE_MS, (code, answer) => {
          if (answer !== undefined && options.isRight(answer)) resolve();
          else reject(wrong(name, code, answer));
        });
      });
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, calls) }, lane));
  } finally {
    client.close();
  }
}
