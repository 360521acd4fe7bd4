// How blobs travel over HTTP: paths, headers and errors that server and client share.
//   POST /blobs                 the content as the body -> 201 {sha256, sizeBytes}
//   GET, HEAD /blobs/SHA256     the content; Range: bytes=N- resumes
//   DELETE /blobs/SHA256        -> 204, where the server allows it; else 403
//   GET /blobs?after=&limit=    -> {blobs: [{sha256, sizeBytes, writtenMs}]}
// Errors are JSON {error, code} with the code's HTTP status.
import { z } from 'zod';
import { Code, type CodeName, StatusError } from '../../common/status.ts';

export const EXPECTED_HEADER = 'x-torus-sha256';
export const MAX_BYTES_HEADER = 'x-torus-max-bytes';

export const blobInfo = z.object({ sha256: z.string(), sizeBytes: z.number() });
export const blobList = z.object({ blobs: z.array(blobInfo.extend({ writtenMs: z.number() })) });

const errorBody = z.object({ error: z.string(), code: z.string() });

/** The error that an answer's body tells; what is no such body is UNAVAILABLE: some proxy's. */
export function errorFrom(status: number, body: string): StatusError {
  try {
    const { error, code } = errorBody.parse(JSON.parse(body));
    if (Object.hasOwn(Code, code)) return new StatusError(Code[code as CodeName], error);
  } catch {
    // Told below.
  }
  if (status === 401) {
    return new StatusError(Code.UNAUTHENTICATED, 'the blob server takes no call without a token');
  }
  return new StatusError(
    Code.UNAVAILABLE,
    `the blob server answered ${status}: ${body.slice(0, 200)}`,
  );
}
