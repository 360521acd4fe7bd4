// One file as the body of one request: what large uploads and the command line use.

import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { Code } from '../../common/status.ts';
import { HttpError, limitText, tooLarge } from '../http-error.ts';
import type { Uploads } from '../uploads.ts';
import { describe, sendJson } from './rpc-route.ts';

const REFUSED = /^(multipart\/|application\/json\b)/i;

/** Has a scope of its own: its bodies are streams of any type. */
export function blobRoutes(app: FastifyInstance, uploads: Uploads): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  const url = '/api/v1/blobs';
  app.post(url, {
    ...describe({
      url,
      tag: 'uploads',
      summary: 'Upload a file, to be imported as a data set or a model',
      body: { type: 'string', format: 'binary' },
      consumes: ['application/octet-stream'],
      status: 201,
      answer: {
        type: 'object',
        properties: { sha256: { type: 'string' }, sizeBytes: { type: 'integer' } },
      },
    }),
    handler: async (request, reply) => {
      const type = request.headers['content-type'] ?? '';
      if (REFUSED.test(type)) {
        const text = `content-type ${type.slice(0, 64)} is not taken here: send the file itself as`;
        throw new HttpError(415, Code.INVALID_ARGUMENT, `${text} application/octet-stream`);
      }
      const { maxBytes } = uploads;
      if (Number(request.headers['content-length'] ?? 0) > maxBytes) {
        throw tooLarge(`the upload is larger than the limit of ${limitText(maxBytes)}`);
      }
      const payload = (request.body ?? request.raw) as Readable;
      const blob = await uploads.within(() => uploads.store(payload, 'the upload'));
      return sendJson(reply.code(201), blob);
    },
  });
}
