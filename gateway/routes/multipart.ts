// Files of a multipart request, streamed one after the other to the blob store.

import type { FastifyError, FastifyRequest } from 'fastify';
import { shownName } from '../../common/names.ts';
import { invalidArgument, StatusError, statusOf } from '../../common/status.ts';
import type { BlobInfo } from '../../stores/blobs/blobs.ts';
import { MAX_FORM_FIELD_BYTES, MAX_FORM_FIELDS, MAX_UPLOAD_FILES } from '../limits.ts';
import type { Uploads } from '../uploads.ts';

export interface StoredFile extends BlobInfo {
  readonly path: string;
}

export function isMultipart(request: FastifyRequest): boolean {
  return request.isMultipart();
}

/** Names that a form gives to files without meaning anything by it. */
const GENERIC_FIELDS = ['', 'file', 'files', 'file[]', 'files[]'];

/** The field's name says where a file goes; one that says nothing leaves it to the file's name. */
function pathOf(field: string, fileName: string): string {
  return GENERIC_FIELDS.includes(field) ? fileName : field;
}

/**
 * Fields that are no files are ignored: options stand in the query.
 * @throws INVALID_ARGUMENT for a request without files or one that is cut off; as Uploads.store
 */
export async function storeFiles(
  request: FastifyRequest,
  uploads: Uploads,
  maxFiles: number = MAX_UPLOAD_FILES,
): Promise<readonly StoredFile[]> {
  return uploads.within(async () => {
    const stored: StoredFile[] = [];
    const parts = request.files({
      preservePath: true,
      // One byte more than allowed, so that the upload itself sees it and can say so.
      limits: {
        files: maxFiles,
        fileSize: uploads.maxBytes + 1,
        fields: MAX_FORM_FIELDS,
        fieldSize: MAX_FORM_FIELD_BYTES,
      },
    });
    try {
      for (;;) {
        const next = await uploads.soon(parts.next(), 'the next file of the form');
        if (next.done === true) break;
        const part = next.value;
        const path = pathOf(part.fieldname, part.filename);
        const blob = await uploads.store(part.file, `file ${JSON.stringify(shownName(path))}`);
        stored.push({ path, ...blob });
      }
    } catch (thrown) {
      throw broken(thrown);
    }
    if (stored.length === 0) {
      throw invalidArgument(
        'the multipart request has no file: give one as a part with a filename',
      );
    }
    return stored;
  });
}

/** What the parser throws without a status is about the form: it is cut off, or none. */
function broken(thrown: unknown): unknown {
  const isTold = thrown instanceof StatusError || (thrown as FastifyError).statusCode !== undefined;
  return isTold ? thrown : invalidArgument(`the form is broken: ${statusOf(thrown).message}`);
}
