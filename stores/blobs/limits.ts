// What every blob store asks of its arguments, and the errors that mean the same in each.
import { isSha256 } from '../../common/names.ts';
import { Code, invalidArgument, notFound, StatusError } from '../../common/status.ts';
import { type BlobRange, type BlobWriteOptions, MAX_LIST_BLOBS } from './blobs.ts';

export function noSuchBlob(sha256: string): StatusError {
  return notFound(`no blob has the SHA-256 ${JSON.stringify(sha256.slice(0, 64))}`);
}

export function blobTooLarge(maxBytes: number): StatusError {
  return new StatusError(Code.RESOURCE_EXHAUSTED, `the content exceeds ${maxBytes} bytes`);
}

export function hashMismatch(expected: string, found: string): StatusError {
  return new StatusError(
    Code.DATA_LOSS,
    `the content has SHA-256 ${found}, expected was ${expected}: it was damaged on its way`,
  );
}

export function checkWriteOptions(options: BlobWriteOptions): void {
  const { expectedSha256, maxBytes } = options;
  if (!(Number.isSafeInteger(maxBytes) && maxBytes >= 0)) {
    throw invalidArgument(`a blob's limit must be a whole number of bytes, not ${maxBytes}`);
  }
  if (expectedSha256 === undefined || isSha256(expectedSha256)) return;
  throw invalidArgument('the expected SHA-256 must be 64 lower-case hexadecimal digits');
}

/** The first byte asked for. */
export function startOf(range: BlobRange | undefined): number {
  const startByte = range?.startByte ?? 0;
  if (Number.isSafeInteger(startByte) && startByte >= 0) return startByte;
  throw invalidArgument(`a blob can't be read from byte ${startByte}: it must be 0 or more`);
}

export function pastEnd(startByte: number, sizeBytes: number): StatusError {
  const message = `byte ${startByte} lies past the end of a blob of ${sizeBytes} bytes`;
  return new StatusError(Code.OUT_OF_RANGE, message);
}

export function checkListLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIST_BLOBS) return;
  throw invalidArgument(`list limit ${limit} is not allowed: it must be 1 to ${MAX_LIST_BLOBS}`);
}
